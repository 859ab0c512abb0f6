/** libvirt's lists of named values (remote_protocol.x: remote_typed_param; libvirt-common.h: virTypedParameterType). */
import { XdrError, type XdrReader, type XdrWriter } from "./xdr.ts";

const TYPE = { INT: 1, UINT: 2, LLONG: 3, ULLONG: 4, DOUBLE: 5, BOOLEAN: 6, STRING: 7 } as const;
const DOUBLE_BYTES = 8;

/** A name may come several times, for a list of values. Numbers are unsigned hypers. */
export type TypedParam = readonly [name: string, value: string | number];

export function writeTypedParams(writer: XdrWriter, params: readonly TypedParam[]): XdrWriter {
  writer.uint(params.length);
  for (const [name, value] of params) {
    writer.string(name);
    if (typeof value === "string") writer.int(TYPE.STRING).string(value);
    else writer.int(TYPE.ULLONG).hyper(value);
  }
  return writer;
}

/** The numbers among the values, by their names. */
export function readNumbers(reader: XdrReader, max: number): Map<string, number> {
  const numbers = new Map<string, number>();
  reader.array(max, (r) => {
    const name = r.string();
    const value = readValue(r);
    if (value !== null) numbers.set(name, value);
  });
  return numbers;
}

function readValue(reader: XdrReader): number | null {
  const type = reader.int();
  switch (type) {
    case TYPE.INT:
    case TYPE.BOOLEAN:
      return reader.int();
    case TYPE.UINT:
      return reader.uint();
    case TYPE.LLONG:
      return reader.signedHyper();
    case TYPE.ULLONG:
      return reader.hyper();
    case TYPE.DOUBLE:
      return reader.fixed(DOUBLE_BYTES).readDoubleBE();
    case TYPE.STRING:
      reader.string();
      return null;
    default:
      throw new XdrError(`a value of type ${type} is unknown`);
  }
}
