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

export function readTypedParams(reader: XdrReader, max: number): [name: string, value: string | number][] {
  return reader.array(max, (r) => [r.string(), readValue(r)]);
}

/** The numbers among the values, by their names. */
export function readNumbers(reader: XdrReader, max: number): Map<string, number> {
  const params = readTypedParams(reader, max);
  return new Map(params.filter((param): param is [string, number] => typeof param[1] === "number"));
}

function readValue(reader: XdrReader): string | number {
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
      return reader.string();
    default:
      throw new XdrError(`a value of type ${type} is unknown`);
  }
}
