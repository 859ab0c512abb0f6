/** A guest's serial console as text (nova/compute/manager.py: get_console_output). Pure. */

/** The last `length` lines of `log`, where -1 and null are all. What is not UTF-8 becomes U+FFFD. */
export function tail(log: Buffer, length: number | null): string {
  // No longer than the bytes: whatever is replaced, or takes two units of UTF-16, was as many bytes at least.
  const text = log.toString("utf8");
  if (length === null || length === -1) return text;
  return length === 0 ? "" : text.split("\n").slice(-length).join("\n");
}
