import { expect, it } from "vitest";
import { matches } from "../../functions/scheduler/extra-specs-ops.ts";

it.each([
  // no operator: the very string
  ["1", "1", true],
  ["1", "1.0", false],
  ["a b", "a b", true],
  ["", "", true],
  // numbers; "=" is at least
  ["2", "= 1", true],
  ["1", "= 1", true],
  ["0", "= 1", false],
  ["1.0", "== 1", true],
  ["2", "== 1", false],
  ["2", "!= 1", true],
  ["1", "!= 1.0", false],
  ["3", ">= 3", true],
  ["2", ">= 3", false],
  ["3", "<= 3", true],
  ["4", "<= 3", false],
  ["10", ">= 9", true],
  ["-1.5e1", "<= -15", true],
  ["many", ">= 1", false],
  ["2", ">= many", false],
  // strings
  ["abc", "s== abc", true],
  ["abc", "s== abd", false],
  ["abc", "s!= abd", true],
  ["abc", "s!= abc", false],
  ["abc", "s< abd", true],
  ["abd", "s< abc", false],
  ["abc", "s<= abc", true],
  ["abd", "s<= abc", false],
  ["abd", "s> abc", true],
  ["abc", "s> abc", false],
  ["abc", "s>= abc", true],
  ["abb", "s>= abc", false],
  ["10", "s< 9", true],
  // parts
  ["sse avx avx2", "<in> avx", true],
  ["sse", "<in> avx", false],
  ["sse avx aes", "<all-in> sse aes", true],
  ["sse avx", "<all-in> sse aes", false],
  // alternatives
  ["12", "<or> 11 <or> 12", true],
  ["13", "<or> 11 <or> 12", false],
  ["12", "<or>12", false],
  // an operator without an operand, and what is none
  ["1", "==", false],
  ["1", "<or>", false],
  ["", "<all-in>", false],
  ["1", "=== 1", false],
  ["toString 1", "toString 1", true],
])("%j is what %j asks: %s", (value, requirement, holds) => {
  expect(matches(value, requirement)).toBe(holds);
});
