/** An object's schema as an append-only list of SQL texts; the number applied is kept under the key `schema`. */

const KEY = "schema";

/**
 * Applies the steps that are missing, as one transaction. An object that is up to date pays one read. `whole`, if there
 * is one, is what all steps together make of an empty database, for a new object to be made at once.
 */
export function migrate(storage: DurableObjectStorage, steps: readonly string[], whole?: string): void {
  const at = storage.kv.get<number>(KEY) ?? 0;
  if (at >= steps.length) return;
  const missing = at === 0 && whole !== undefined ? [whole] : steps.slice(at);
  storage.transactionSync(() => {
    for (const sql of missing) storage.sql.exec(sql);
    storage.kv.put(KEY, steps.length);
  });
}

/**
 * As `migrate`, for objects whose names outsiders can guess: one that was never created is left without a byte
 * of storage. Returns whether it was created.
 */
export function migrateExisting(storage: DurableObjectStorage, steps: readonly string[]): boolean {
  if (storage.kv.get<number>(KEY) === undefined) return false;
  migrate(storage, steps);
  return true;
}
