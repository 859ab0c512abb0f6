import { expect, it } from "vitest";
import { parseRange } from "../../functions/image/bytes.ts";

it.each([
  ["bytes=0-9", 100, { offset: 0, length: 10 }],
  ["bytes=90-", 100, { offset: 90, length: 10 }],
  ["bytes=90-999", 100, { offset: 90, length: 10 }],
  ["bytes=-10", 100, { offset: 90, length: 10 }],
  ["bytes=-999", 100, { offset: 0, length: 100 }],
  ["bytes=100-", 100, "unsatisfiable"],
  ["bytes=-0", 100, "unsatisfiable"],
  ["bytes=0-", 0, "unsatisfiable"],
  ["bytes=9-1", 100, null],
  ["bytes=-", 100, null],
  ["bytes=0-1,5-6", 100, null],
  ["lines=1-2", 100, null],
])("%s of %i is %j", (header, size, range) => expect(parseRange(header, size)).toEqual(range));
