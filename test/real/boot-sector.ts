/**
 * A guest of one sector, which says on its serial console what it is and obeys the power button.
 *
 * It prints the name of the disk that it booted from and, if there is a second disk of its kind, of that one; then, for
 * every NMI, `NMI`. It polls for the power button of q35 (ACPI's PM1 registers, which SeaBIOS puts at 0x600) and goes off
 * by them. An interrupt handler in its memory answers the NMI: a guest that goes on answers, and prints nothing anew.
 */

const CODE = [
  "31c0 8ed8 8ed0 bc007c", //         start:  xor ax, ax; ds = ss = ax; mov sp, 0x7c00
  "c7060800537c a30a00", //                   the vector of NMI: 0000:nmi
  "beb07d e84400", //                         mov si, name; call print
  "b80102 b90100 ba8100 bb0080 6a0007", //    read one sector of the second disk to 0000:8000
  "cd13 7206", //                             int 0x13; jc alone
  "beb081 e82b00", //                         mov si, its name; call print
  "be687c e82500", //                 alone:  mov si, newline; call print
  "ba0206 ed 80cc01 ef", //                   PM1_EN |= PWRBTN_EN
  "fbf4", //                          wait:   sti; hlt
  "ba0006 ed f6c401 74f5", //                 test PM1_STS, PWRBTN_STS; jz wait
  "ba0406 b80020 ef ebec", //                 PM1_CNT = SLP_EN; jmp wait
  "60 be6a7c e80200 61 cf", //        nmi:    mov si, text; call print; iret
  "baf803 ac 84c0 7403 ee ebf8 c3", // print: until a zero: out 0x3f8, [si++]
  "0a00 4e4d490a00", //                       newline; text
].join("");

/**
 * As above, without the power button: it writes over half a megabyte of memory without end, so that a live migration of
 * little bandwidth never catches up with it.
 */
const BUSY = [
  "31c0 8ed8 8ed0 bc007c", //         start:  xor ax, ax; ds = ss = ax; mov sp, 0x7c00
  "c7060800317c a30a00", //                   the vector of NMI: 0000:nmi
  "beb07d e82200", //                         mov si, name; call print
  "40 bb0010", //                     again:  inc ax; mov bx, 0x1000
  "8ec3 31ff b90080 f3ab", //         next:   es = bx; xor di, di; mov cx, 0x8000; rep stosw
  "81c30010 81fb0090 75ed ebe7", //           add bx, 0x1000; cmp bx, 0x9000; jne next; jmp again
  "60 be467c e80200 61 cf", //        nmi:    mov si, text; call print; iret
  "baf803 ac 84c0 7403 ee ebf8 c3", // print: until a zero: out 0x3f8, [si++]
  "4e4d490a00", //                            text
].join("");

const NAME_AT = 0x1b0;
const SIGNATURE_AT = 0x1fe;
/** Of one sector alone, SeaBIOS reads none. */
const DISK_BYTES = 1 << 20;

/** A raw disk that boots, called `name`: at most 15 characters of ASCII. */
export function bootDisk(name: string, { busy = false } = {}): Buffer {
  const disk = Buffer.alloc(DISK_BYTES);
  disk.set(Buffer.from((busy ? BUSY : CODE).replaceAll(" ", ""), "hex"));
  disk.write(name, NAME_AT, "latin1");
  disk.writeUInt16LE(0xaa55, SIGNATURE_AT);
  return disk;
}
