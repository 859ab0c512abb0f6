/** The part of pngjs that the tests use; the package ships no types. */
declare module "pngjs" {
  export const PNG: { sync: { read(file: Buffer): { width: number; height: number; data: Buffer } } };
}
