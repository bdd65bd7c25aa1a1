//! `hil image`: keys, signed images, and what is in them. The format is MCUboot's (`docs/images.md`).

mod error;
mod inspect;
mod keys;
mod make;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use update_image::{PublicKey, Refusal, Version};

pub use error::ImageError;
pub use inspect::{Contents, contents, verify};
pub use keys::{KEYS_MAX, KeyFiles, generate, public_key, public_path, secret_key, test_key};
pub use make::{MadeImage, make};

use crate::scenario::BOARD;

/// Name and version of the JSON documents.
const SCHEMA: &str = "hil-image/1";

/// What to do with images and keys.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make a key that signs images: FILE and its public half, FILE with .pub.pem
    Keygen(KeygenArgs),
    /// Make a signed image of a program
    Sign(SignArgs),
    /// Say whether a bootloader with these keys would accept an image; exit code 1 if not
    Verify(VerifyArgs),
    /// Print what an image says of itself, without any key
    Show(ShowArgs),
}

/// See [`ImageCommand::Keygen`].
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The private key, which must not exist yet
    #[arg(long, value_name = "FILE", default_value = "key.pem")]
    out: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// See [`ImageCommand::Sign`].
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Private key, Ed25519, PKCS#8 PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Version of the image: MAJOR.MINOR.REVISION, perhaps with +BUILD
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// Images with a lower number than the last one confirmed are refused for ever
    #[arg(long, value_name = "N", default_value_t = 0)]
    security_counter: u32,
    /// Board that the image is for
    #[arg(long, value_name = "NAME", default_value = BOARD)]
    board: String,
    /// Program that is linked for the application slot: an ELF, or its bytes from the vector table on
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where the image goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// See [`ImageCommand::Verify`].
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Public key that is trusted, Ed25519 PEM; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Board that it has to be for
    #[arg(long, value_name = "NAME", default_value = BOARD)]
    board: String,
    /// Lowest security counter that is accepted
    #[arg(long, value_name = "N", default_value_t = 0)]
    security_counter: u32,
    /// The image
    #[arg(value_name = "FILE")]
    image: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// See [`ImageCommand::Show`].
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The image
    #[arg(value_name = "FILE")]
    image: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// Does it and says so. Exit code 1: an image was refused.
///
/// # Errors
/// It could not be done.
pub fn image(command: &ImageCommand) -> Result<ExitCode, ImageError> {
    match command {
        ImageCommand::Keygen(args) => keygen(args),
        ImageCommand::Sign(args) => sign(args),
        ImageCommand::Verify(args) => check(args),
        ImageCommand::Show(args) => show(args),
    }
}

fn keygen(args: &KeygenArgs) -> Result<ExitCode, ImageError> {
    let KeyFiles { private, public, key } = generate(&args.out)?;
    print(
        args.json,
        &[
            ("private_key", json!(private), private.display().to_string()),
            ("public_key", json!(public), public.display().to_string()),
            ("key_hash", json!(hex(&key.hash())), hex(&key.hash())),
        ],
    );
    Ok(ExitCode::SUCCESS)
}

fn sign(args: &SignArgs) -> Result<ExitCode, ImageError> {
    let version = Version::parse(&args.version).ok_or_else(|| ImageError::Version(args.version.clone()))?;
    let key = secret_key(&args.key)?;
    let MadeImage { bytes, info } = make(&args.input, &key, version, args.security_counter, &args.board)?;
    std::fs::write(&args.output, &bytes).map_err(|why| ImageError::write(&args.output, why))?;
    let mut rows = vec![("image", json!(args.output), args.output.display().to_string())];
    rows.extend(described(&args.board, &info, &key.public()));
    print(args.json, &rows);
    Ok(ExitCode::SUCCESS)
}

fn check(args: &VerifyArgs) -> Result<ExitCode, ImageError> {
    let keys = args.key.iter().map(|path| public_key(path)).collect::<Result<Vec<_>, _>>()?;
    let bytes = read(&args.image)?;
    match verify(&bytes, &keys, &args.board, args.security_counter) {
        Ok((info, key)) => {
            let mut rows = vec![
                ("image", json!(args.image), args.image.display().to_string()),
                ("accepted", json!(true), "yes".to_owned()),
            ];
            rows.extend(described(&args.board, &info, &key));
            print(args.json, &rows);
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => {
            let why = refusal_in_full(refusal, &bytes, args);
            if args.json {
                let rows = [
                    ("image", json!(args.image), String::new()),
                    ("accepted", json!(false), String::new()),
                    ("cause", json!(refusal.as_str()), String::new()),
                    ("explanation", json!(why), String::new()),
                ];
                print(true, &rows);
            } else {
                eprintln!("refused: {}: {why}", args.image.display());
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn show(args: &ShowArgs) -> Result<ExitCode, ImageError> {
    let contents = contents(&args.image, &read(&args.image)?)?;
    let mut rows = vec![("image", json!(args.image), args.image.display().to_string())];
    rows.extend(contents.rows());
    print(args.json, &rows);
    Ok(ExitCode::SUCCESS)
}

/// The cause with the numbers that belong to it, and what to do.
fn refusal_in_full(refusal: Refusal, bytes: &[u8], args: &VerifyArgs) -> String {
    // What the image says of itself is only for the message.
    let contents = contents(&args.image, bytes).ok();
    let cause = refusal.as_str();
    let more = match refusal {
        Refusal::BadHeader => format!("it is no MCUboot image for the slot at {:#x}", update_image::layout::SLOT.start),
        Refusal::TooLarge => format!("the slot has {} bytes", update_image::layout::SLOT.len),
        Refusal::Truncated => format!("the file ends after {} bytes, before the image does", bytes.len()),
        Refusal::BadTlv => {
            "what hash, key, signature, counter or board is stated in is malformed or missing".to_owned()
        }
        Refusal::WrongBoard => match contents.and_then(|contents| contents.board) {
            Some(board) => format!("it is for {board:?}, not for {:?}; give its name with --board", args.board),
            None => format!("it names no board, and {:?} was asked for", args.board),
        },
        Refusal::WrongHash => "its bytes are not those that were signed".to_owned(),
        Refusal::UnknownKey => match contents.and_then(|contents| contents.key_hash) {
            Some(hash) => {
                format!("it is signed under the key with hash {hash}; give that one's public half with --key")
            }
            None => "it names no key".to_owned(),
        },
        Refusal::WrongSignature => "the signature was not made with the key that it names".to_owned(),
        Refusal::CounterTooLow => match contents.and_then(|contents| contents.counter) {
            Some(counter) => format!("it has {counter}, and at least {} is asked for", args.security_counter),
            None => format!("it has none, and at least {} is asked for", args.security_counter),
        },
        Refusal::BadVectors => make::NOT_FOR_THE_SLOT.to_owned(),
        _ => return cause.to_owned(),
    };
    format!("{cause}: {more}")
}

/// Name, value, and how people read it; empty if they read it elsewhere.
type Row = (&'static str, Value, String);

fn described(board: &str, info: &update_image::ImageInfo, key: &PublicKey) -> Vec<Row> {
    let (hash, key_hash) = (hex(&info.hash), hex(&key.hash()));
    vec![
        ("version", json!(info.version.to_string()), info.version.to_string()),
        ("board", json!(board), board.to_owned()),
        ("security_counter", json!(info.counter), info.counter.to_string()),
        ("length", json!(info.total_len), format!("{} bytes", info.total_len)),
        ("hash", json!(hash), hash.clone()),
        ("key_hash", json!(key_hash), keys::with_note(&key_hash)),
    ]
}

fn print(as_json: bool, rows: &[Row]) {
    if as_json {
        let fields = rows.iter().map(|(name, value, _)| ((*name).to_owned(), value.clone()));
        let schema = [("schema".to_owned(), json!(SCHEMA))];
        println!("{:#}", Value::Object(schema.into_iter().chain(fields).collect()));
        return;
    }
    for (name, _, text) in rows.iter().filter(|(_, _, text)| !text.is_empty()) {
        println!("{:<17} {text}", name.replace('_', " "));
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|why| ImageError::read(path, why))
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
