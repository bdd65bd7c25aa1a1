//! Device Update's production root keys.
//!
//! Microsoft publishes them in the sources of its agents (Azure/iot-hub-device-update `rootkey_list.c`,
//! eclipse-threadx/netxduo `nx_azure_iot_adu_agent.c`), which agree. `ADU.200702.R` signs today; `ADU.200703.R` is the
//! announced successor, so a device needs both.

use crate::crypto::RootKey;

/// The roots that a device trusts unless its provisioning record names others.
pub const PRODUCTION_ROOTS: &[RootKey<'static>] = &[
    RootKey { kid: "ADU.200702.R", n: &ADU_200702_R, e: 65537 },
    RootKey { kid: "ADU.200703.R", n: &ADU_200703_R, e: 65537 },
];

static ADU_200702_R: [u8; 384] =
    hex("d5422eaf1154a3506587a24d5bba1afba932dfe9995f0545c8afbd351d89e8272758a3a8eec5c51e4ff792a612067d3d\
     7db007f62c7fde6d2af5bc49bc15eff081cb3f884f271d8871286008b619d2d239d0051f3c768671bb5958bcb1887bab\
     5628bf3173443210fd3dd3965cff4e5cb36bff8b849b8b80b849d07dfad64058764dc0722775cb9a2f9bb49f0f25f11c\
     c51b0b5a307d2fb8efa7265853afd51d5501510de91ba20f3fd7e91d2041a6e6140aaefef21c2ad6e4047bf6147eec0f\
     9783fa58fa813621b9a32bfad9610b1a94f7c1be7f40144ac9fa357fef667000b1fddbd7610d3b58746794897576967c\
     9187d28e1197ee7b876c9a2f45d8653f5270982acbc80463f5c947cf70f4ed64a774a5238fb6edf71cd3b01c6457125a\
     a981841fa0e7501996b482b1ac48e3e13282cb401facc459bc10345182f9288da81e9bf5794575b2dc9a114308be61cc\
     9ac4cb7736ff83dda8714f518e0e7b4dfa79988dbefc827e4048a91201a8d97ef3a51bf1fb90773e408718c9abd9f779");

static ADU_200703_R: [u8; 384] =
    hex("b2a3b27416fabb20f95276e6273e8041c6fecf30f9c896f5590aaa81e751838ac4f5173a2f2ae657d471ce8a3def9a55\
     763e99e2c2ae4cee2db878f5a24e28f29c4e3965bcece40de5e338a859ab08a41bb4f4a052a338b3462113cc3c6806de\
     fe00a6926ede4c4710d61c9c24f5cd70e1f56a7c68131de1c5f6a84f219f867c44c58a991cc5d3069b5a719d091cc364\
     316ac517951d5d2af155c766d4e8f5d9a95b8ca26c62600537d732b073cbf74b362724218c380ab818fef51560358b35\
     ef1e0f88a6138d7b7defb3e7b0c9a61c707bccf2298b87f7bd9db6886fac73ff72f2ef482796728606a25ce37dceb09e\
     e5c2d94ec4f37f78074b6588450c11e5965634882d160e5942d2f7d9ed1dedc93777447ee384369f5813ef6fe4c344d4\
     77068acf5bc8801ca298650b35dc73c869d05ee825439ef6d8ab05af51292355405810eab8e2cd5d79ccecdfb45b98c7\
     fae3d26c26ce2e2c56e0cf8deefd93122f00498d1c823856a65d79444a1af3dc1610b3c12d2711fe1b9805e4a3603199");

/// Decodes hexadecimal text at compile time.
const fn hex(text: &str) -> [u8; 384] {
    let text = text.as_bytes();
    assert!(text.len() == 768, "a 3072-bit modulus has 768 digits");
    let mut bytes = [0; 384];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("not a hexadecimal digit"),
    }
}
