//! The frame around random instructions (tests/core/differential): puts a state into the registers, runs a block in
//! Thread mode on the process stack, and writes down what is there at its SVC, or at the fault that it ended in.
//!
//! The host puts at 0x1000 pairs of words, block and state, the last block being zero. A state is S0-S31, FPSCR, the
//! address of 192 words for the scratch area, which the stack is a part of, R0-R3, R12, LR, xPSR, R4-R11. A record is R4-R11, R0-R3, R12, LR, PC, xPSR,
//! SP, S0-S31, FPSCR, CFSR, IPSR, and the scratch area. The first record has no block.
#![no_std]
#![no_main]

use core::arch::global_asm;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

global_asm!(
    r#"
.syntax unified
.thumb
.fpu fpv4-sp-d16

.macro set reg, value
movw \reg, #:lower16:\value
movt \reg, #:upper16:\value
.endm

.equ SCRATCH, 0x20000000
.equ STACK, 0x20000280
.equ RECORDS, 0x21000000

.section .vectors, "a"
.word 0x20010000
.word start
.word record
.word record
.word record
.word record
.word record
.word 0, 0, 0, 0
.word record

.text

.thumb_func
start:
    set r0, 0xE000ED88
    mov r1, #0xF00000
    str r1, [r0]
    @ No automatic stacking: the registers of a block stay where they are.
    set r0, 0xE000EF34
    movs r1, #0
    str r1, [r0]
    dsb
    isb
    set r0, 0x20020000
    set r1, RECORDS
    movw r2, #0x1000
    stmia r0, {{r1, r2}}
    set r0, STACK
    msr psp, r0
    movs r0, #2
    msr control, r0
    isb
    svc #0

.thumb_func
record:
    mrs r0, psp
    set r1, 0x20020000
    ldr r2, [r1]
    stmia r2!, {{r4-r11}}
    ldmia r0!, {{r4-r11}}
    stmia r2!, {{r4-r11}}
    str r0, [r2], #4
    vstmia r2!, {{s0-s31}}
    vmrs r3, fpscr
    str r3, [r2], #4
    set r3, 0xE000ED28
    ldr r4, [r3]
    str r4, [r3]
    str r4, [r2], #4
    mrs r4, ipsr
    str r4, [r2], #4
    set r0, SCRATCH
.rept 24
    ldmia r0!, {{r4-r11}}
    stmia r2!, {{r4-r11}}
.endr
    str r2, [r1]
    @ The next one.
    ldr r0, [r1, #4]
    ldmia r0!, {{r3, r12}}
    str r0, [r1, #4]
    cmp r3, #0
    beq finish
    vldmia r12!, {{s0-s31}}
    ldr r5, [r12], #4
    vmsr fpscr, r5
    ldr r5, [r12], #4
    set r0, SCRATCH
.rept 24
    ldmia r5!, {{r4, r6-r11, lr}}
    stmia r0!, {{r4, r6-r11, lr}}
.endr
    set r0, STACK
    subs r0, #32
    msr psp, r0
    ldmia r12!, {{r4-r10}}
    stmia r0!, {{r4-r9}}
    stmia r0!, {{r3, r10}}
    ldmia r12!, {{r4-r11}}
    mvn lr, #2
    bx lr

finish:
    movs r0, #1
    adr r1, open
    bkpt 0xAB
    set r4, 0x20020008
    set r5, RECORDS
    subs r6, r2, r5
    stmia r4, {{r0, r5, r6}}
    mov r1, r4
    movs r0, #5
    bkpt 0xAB
    movs r0, #0x18
    set r1, 0x20026
    bkpt 0xAB
    b .

.balign 4
open:
    .word name, 5, 7
name:
    .asciz "records"
"#
);
