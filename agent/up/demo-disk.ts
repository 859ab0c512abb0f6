/**
 * A bootable disk in one sector: it clears the screen, says what it is, and echoes what is typed. With it a demo server
 * has a real guest to show on any hypervisor, and nothing has to be downloaded.
 */

const GREETING = "\r\nThis is edgenova's demo guest.\r\nWhat you type comes back, straight from the BIOS.\r\n\r\n> ";

/** Real-mode code, loaded at 0000:7c00 by the BIOS. */
const CODE = [
  [0x31, 0xc0], //             xor ax, ax
  [0x8e, 0xd8], //             mov ds, ax
  [0xb8, 0x03, 0x00], //       mov ax, 0003h      80x25 text; clears the screen
  [0xcd, 0x10], //             int 10h
  [0xbe, 0x00, 0x00], //       mov si, message    (its address is filled in below)
  [0xac], //             next: lodsb
  [0x08, 0xc0], //             or al, al
  [0x74, 0x09], //             jz key
  [0xb4, 0x0e], //             mov ah, 0eh        write as a terminal does
  [0xbb, 0x0a, 0x00], //       mov bx, 000ah
  [0xcd, 0x10], //             int 10h
  [0xeb, 0xf2], //             jmp next
  [0x31, 0xc0], //        key: xor ax, ax
  [0xcd, 0x16], //             int 16h            wait for a key
  [0x08, 0xc0], //             or al, al
  [0x74, 0xf8], //             jz key             not a character
  [0xb4, 0x0e], //             mov ah, 0eh
  [0xbb, 0x07, 0x00], //       mov bx, 0007h
  [0xcd, 0x10], //             int 10h
  [0x3c, 0x0d], //             cmp al, 0dh
  [0x75, 0xed], //             jne key
  [0xbe, 0x00, 0x00], //       mov si, prompt     (filled in below)
  [0xeb, 0xda], //             jmp next
].flat();

const SECTOR = 512;
const LOAD_ADDRESS = 0x7c00;
/** Disks are addressed in whole MiB by some tools; one is the smallest that all take. */
const DISK_BYTES = 1024 * 1024;

/** The whole disk, as a raw image. */
export function demoDisk(): Uint8Array<ArrayBuffer> {
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(CODE, 0);
  const message = new TextEncoder().encode(`${GREETING}\0`);
  const prompt = new TextEncoder().encode("\n> \0");
  disk.set(message, CODE.length);
  disk.set(prompt, CODE.length + message.length);
  const view = new DataView(disk.buffer);
  view.setUint16(CODE.indexOf(0xbe) + 1, LOAD_ADDRESS + CODE.length, true);
  view.setUint16(CODE.lastIndexOf(0xbe) + 1, LOAD_ADDRESS + CODE.length + message.length, true);
  view.setUint16(SECTOR - 2, 0xaa55, true);
  return disk;
}
