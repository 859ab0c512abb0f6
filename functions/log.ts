/**
 * Writes one line of JSON for one thing that happened; `event` is `noun.verb` and units stand in the field names.
 * Callers pass no token, ticket, password or key.
 */
export function log(event: string, fields: Record<string, unknown> = {}): void {
  console.log(JSON.stringify({ event, ...fields }));
}

/** An unknown throw as one line: the chain of causes, without stacks. */
export function causeOf(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at !== undefined && parts.length < 8; at = at instanceof Error ? at.cause : undefined) {
    parts.push(at instanceof Error ? `${at.name}: ${at.message}` : String(at));
  }
  return parts.join("; caused by ");
}
