//! Programs for tests/core: each label is one, ends in BKPT, and leaves its results in registers.
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

.macro program name
.global \name
.type \name, %function
.thumb_func
\name:
.endm

.macro set reg, value
movw \reg, #:lower16:\value
movt \reg, #:upper16:\value
.endm

.section .vectors, "a"
.word 0x20008000
.word idle
.word nmi
.word fault
.word fault
.word fault
.word fault
.word 0, 0, 0, 0
.word svcall
.word fault
.word 0
.word pendsv
.word systick
.word irq0
.word irq1
.word irq2

.text

program idle
    b .

@ Handlers append their mark to the log that R11 points at. R8 to R11 belong to the tests.
.macro mark value
    movs r0, #\value
    strb r0, [r11], #1
.endm

program nmi
    mark 2
    bx lr

program fault
    tst lr, #4
    ite eq
    mrseq r12, msp
    mrsne r12, psp
    mrs r0, ipsr
    strb r0, [r11], #1
    set r1, 0xE000ED28
    ldr r8, [r1]
    ldr r9, [r1, #4]
    ldr r10, [r1, #0x10]
    str r8, [r1]
    str r9, [r1, #4]
    @ Over the instruction, whose first halfword tells its width.
    ldr r0, [r12, #24]
    ldrh r1, [r0]
    movw r2, #0xE800
    cmp r1, r2
    ite hs
    addhs r0, #4
    addlo r0, #2
    str r0, [r12, #24]
    bx lr

program svcall
    mark 11
    bx lr

program pendsv
    mark 14
    bx lr

program systick
    mark 15
    bx lr

program irq0
    mark 16
    @ Priority 0x40 preempts at once, PendSV waits.
    set r0, 0xE000E200
    movs r1, #2
    str r1, [r0]
    set r0, 0xE000ED04
    mov r1, #0x10000000
    str r1, [r0]
    dsb
    isb
    mark 32
    bx lr

program irq1
    mark 17
    bx lr

program irq2
    @ Uses the FPU, and so takes the interrupted context's registers away.
    vmov.f32 s0, #2.0
    mark 18
    bx lr

.macro begin
    set r11, 0x20004000
    set r7, 0xE000E000
.endm

program grouping
    begin
    @ PRIGROUP 7: no preemption, only order.
    set r0, 0x05FA0700
    str r0, [r7, #0xD0C]
    b 1f

program priorities
    begin
1:  movw r0, #0x4080
    str r0, [r7, #0x400]
    set r0, 0x00E00000
    str r0, [r7, #0xD20]
    movs r0, #3
    str r0, [r7, #0x100]
    movs r0, #1
    str r0, [r7, #0x200]
    dsb
    isb
    bkpt 0

program masks
    begin
    movw r0, #0x4080
    str r0, [r7, #0x400]
    movs r0, #3
    str r0, [r7, #0x100]
    movs r0, #0x60
    msr basepri, r0
    movs r0, #1
    str r0, [r7, #0x200]
    dsb
    isb
    mark 1
    movs r0, #0
    cpsid i
    msr basepri, r0
    mark 3
    cpsie i
    mark 4
    bkpt 0

program undefined
    begin
    mov r0, #0x70000
    str r0, [r7, #0xD24]
    udf #7
    bkpt 0

program bus_error
    begin
    mov r0, #0x70000
    str r0, [r7, #0xD24]
    set r0, 0x70000000
    ldr r0, [r0]
    bkpt 0

program divide
    begin
    mov r0, #0x70000
    str r0, [r7, #0xD24]
    ldr r2, [r7, #0xD14]
    orrs r2, r2, #0x10
    str r2, [r7, #0xD14]
    movs r0, #7
    movs r1, #0
    udiv r0, r0, r1
    bkpt 0

program escalation
    begin
    cpsid i
    svc #1
    @ The return address is behind SVC; the handler skips what is there.
    nop
    bkpt 0

program locks_up
    begin
    cpsid f
    udf #0
    bkpt 0

program lazy
    begin
    set r0, 0xE000ED88
    mov r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    movs r0, #4
    str r0, [r7, #0x100]
    vmov.f32 s0, #5.0
    vmov.f32 s15, #7.0
    movs r0, #4
    str r0, [r7, #0x200]
    dsb
    isb
    vmov r4, s0
    vmov r5, s15
    set r0, 0xE000EF34
    ldr r6, [r0]
    bkpt 0

program ticks
    begin
    movw r0, #999
    str r0, [r7, #0x14]
    movs r0, #0
    str r0, [r7, #0x18]
    movs r0, #7
    str r0, [r7, #0x10]
1:  wfi
    b 1b

program sleep_on_exit
    begin
    movs r0, #1
    str r0, [r7, #0x100]
    movs r0, #2
    str r0, [r7, #0xD10]
    str r0, [r7, #0x100]
    wfi
    bkpt 0

program if_then
    movs r0, #0
    movs r1, #1
    cmp r1, #1
    itete eq
    addeq r0, #1
    addne r0, #2
    addeq r0, #4
    addne r0, #8
    bkpt 0

@ R0 is 1 to take the right side and fault, 0 for the left side.
.p2align 2
program covered
    movs r1, #1
    cmp r0, #1
    ite ne
    movne r1, #5
    moveq r1, #6
    cbz r0, 1f
    set r3, 0x70000000
    nop.w
    ldr r3, [r3]
    movs r2, #4
1:  bkpt 0

program exclusive
    begin
    mov r0, r11
    ldrex r1, [r0]
    strex r2, r1, [r0]
    strex r3, r1, [r0]
    ldrex r1, [r0]
    svc #0
    strex r4, r1, [r0]
    bkpt 0

program psp
    begin
    set r0, 0x20006000
    msr psp, r0
    movs r0, #3
    msr control, r0
    isb
    svc #0
    mrs r4, control
    mov r5, sp
    @ Unprivileged: the System Control Space is out of reach.
    ldr r6, [r7]
    bkpt 0

program protected
    begin
    mov r0, #0x70000
    str r0, [r7, #0xD24]
    movs r0, #0
    str r0, [r7, #0xD98]
    set r0, 0x20002000
    str r0, [r7, #0xD9C]
    @ 4 KB, nobody, no execution.
    set r1, 0x10000017
    str r1, [r7, #0xDA0]
    movs r1, #5
    str r1, [r7, #0xD94]
    dsb
    isb
    ldr r2, [r0]
    sub r3, r0, #4
    ldr r3, [r3]
    bkpt 0

program requests_reset
    begin
    set r0, 0x05FA0004
    str r0, [r7, #0xD0C]
    b .

program steps
    movs r0, #1
    adds r0, #1
    adds r0, #1
    adds r0, #1
    bkpt 0

program watched
    begin
    str r7, [r11]
    ldr r0, [r11]
    str r7, [r11, #4]
    bkpt 0

program kernel
    @ A table-driven CRC-32 of 4 KB of flash, the table being built first.
    set r0, 0x20002000
    set r6, 0xEDB88320
    movs r1, #0
1:  mov r2, r1
    movs r3, #8
2:  lsrs r2, r2, #1
    it cs
    eorcs r2, r6
    subs r3, #1
    bne 2b
    str r2, [r0, r1, lsl #2]
    adds r1, #1
    cmp r1, #256
    bne 1b
    mov r8, #256
3:  mvn r1, #0
    movs r2, #0
4:  ldrb r3, [r2]
    eors r3, r1
    uxtb r3, r3
    ldr r3, [r0, r3, lsl #2]
    eor r1, r3, r1, lsr #8
    adds r2, #1
    cmp r2, #0x400
    bne 4b
    subs r8, #1
    bne 3b
    mvns r1, r1
    bkpt 0

program float_kernel
    @ x = x * 0.75 + n for 64 numbers at a time, their squares' sum, its root, and the quotient of both.
    set r0, 0xE000ED88
    mov r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    set r0, 0x20002000
    movs r1, #64
    vmov.f32 s0, #1.0
    vmov.f32 s1, s0
1:  vstr s0, [r0]
    vadd.f32 s0, s0, s1
    adds r0, #4
    subs r1, #1
    bne 1b
    vmov.f32 s2, #0.75
    vsub.f32 s5, s1, s1
    mov r8, #10000
2:  set r0, 0x20002000
    movs r1, #64
    vmov s3, r8
    vcvt.f32.u32 s3, s3
    vmov.f32 s4, s5
3:  vldr s6, [r0]
    vmul.f32 s7, s6, s2
    vadd.f32 s7, s7, s1
    vcmp.f32 s7, s3
    vmrs APSR_nzcv, fpscr
    it gt
    vmovgt.f32 s7, s3
    vstr s7, [r0]
    vmla.f32 s4, s7, s7
    adds r0, #4
    subs r1, #1
    bne 3b
    vsqrt.f32 s8, s4
    vdiv.f32 s9, s4, s8
    subs r8, #1
    bne 2b
    vcvt.s32.f32 s10, s9
    vmov r1, s9
    vmov r2, s10
    bkpt 0

.section .ram, "ax"
program in_ram
    movs r0, #0
    movs r1, #3
1:  adds r0, #5
    subs r1, #1
    bne 1b
    bkpt 0
"#
);
