/** What a value must be, as an extra spec says it (nova/scheduler/filters/extra_specs_ops.py). Pure. */

type Test = (value: string, wanted: string) => boolean;

const numeric =
  (holds: (a: number, b: number) => boolean): Test =>
  (value, wanted) => {
    const [a, b] = [numberOf(value), numberOf(wanted)];
    return a !== null && b !== null && holds(a, b);
  };

/** A decimal number; Nova's float() takes no more of what stands in specs. */
function numberOf(text: string): number | null {
  const plain = text.trim();
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : null;
}

/** By operator; `=` is "at least": its meaning from before there was `>=`. */
const OPERATORS: Readonly<Record<string, Test>> = {
  "=": numeric((a, b) => a >= b),
  "==": numeric((a, b) => a === b),
  "!=": numeric((a, b) => a !== b),
  ">=": numeric((a, b) => a >= b),
  "<=": numeric((a, b) => a <= b),
  "s==": (value, wanted) => value === wanted,
  "s!=": (value, wanted) => value !== wanted,
  "s<": (value, wanted) => value < wanted,
  "s<=": (value, wanted) => value <= wanted,
  "s>": (value, wanted) => value > wanted,
  "s>=": (value, wanted) => value >= wanted,
  "<in>": (value, wanted) => value.includes(wanted),
};

/**
 * Whether `value` is what `requirement` asks: an operator and its operand, a word, with a space between; or, without
 * an operator, the very string. An operator without an operand holds of nothing.
 */
export function matches(value: string, requirement: string): boolean {
  const [operator = "", ...operands] = requirement.split(/\s+/).filter((word) => word !== "");
  if (operator === "<or>") return operands.filter((word) => word !== "<or>").includes(value);
  if (operator === "<all-in>") return operands.length > 0 && operands.every((word) => value.includes(word));
  const test = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined;
  if (!test) return value === requirement;
  return operands[0] !== undefined && test(value, operands[0]);
}
