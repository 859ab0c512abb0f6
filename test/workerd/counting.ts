/**
 * Counts what the runtime is asked for, by wrapping the methods that ask. All objects of a local workerd share an isolate,
 * so one sum has all of them.
 */
import { type Counts, noCounts } from "../bench/counts.ts";

export type Born = [ctx: DurableObjectState, env: Env];

const total = noCounts();
/** Read when it is asked for: a cursor counts rows as they are read. Those that are done are folded into the total. */
let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
const names = new WeakMap<object, string>();
const wrapped = new WeakSet<object>();

export function counts(): Counts {
  for (const { rowsRead, rowsWritten } of cursors) {
    total.rowsRead += rowsRead;
    total.rowsWritten += rowsWritten;
  }
  cursors = [];
  return total;
}

/** An object of `name` wakes: from here on its storage is counted. */
export function woken(name: string, [ctx, env]: Born): Born {
  add(total.woken, name);
  names.set(ctx.storage.kv, name);
  countNamespaces(env);
  countStorage(ctx.storage);
  return [ctx, env];
}

export function countRequest(): void {
  total.requests++;
}

/** Has every stub of `env`'s namespaces counted. */
export function countNamespaces(env: Env): void {
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === "object" && value !== null && "getByName" in value) names.set(value, name);
  }
  wrap(Object.getPrototypeOf(env.SERVER), "getByName", (namespace, _, stub) =>
    countedStub(names.get(namespace) ?? "?", stub as object),
  );
}

function countedStub(binding: string, stub: object): object {
  return new Proxy(stub, {
    get(target, key) {
      const method: unknown = Reflect.get(target, key, target);
      if (typeof method !== "function") return method;
      return (...args: unknown[]) => {
        add(total.calls, `${binding}.${String(key)}`);
        return Reflect.apply(method, target, args);
      };
    },
  });
}

function countStorage(storage: DurableObjectStorage): void {
  wrap(Object.getPrototypeOf(storage.sql), "exec", (_, __, cursor) => {
    cursors.push(cursor as SqlStorageCursor<Record<string, SqlStorageValue>>);
    return cursor;
  });
  wrap(Object.getPrototypeOf(storage), "setAlarm", (_, __, answer) => {
    total.alarmsSet++;
    return answer;
  });
  const kv = Object.getPrototypeOf(storage.kv);
  const fresh = new WeakSet<object>();
  wrap(kv, "get", (self, [key], value) => {
    total.rowsRead++;
    // store/migrate.ts looks here for what the object's schema is.
    if (key === "schema" && value === undefined) fresh.add(self);
    return value;
  });
  wrap(kv, "put", (self, [key], value) => {
    total.rowsWritten++;
    if (key === "schema" && fresh.delete(self)) add(total.made, names.get(self) ?? "?");
    return value;
  });
  wrap(kv, "delete", (_, __, value) => {
    total.rowsWritten++;
    return value;
  });
}

/** Has `seen` make what `method` answers of what it was. Once for a prototype, however often it is asked for. */
function wrap(prototype: object, method: string, seen: (self: object, args: unknown[], answer: unknown) => unknown) {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== "function" || wrapped.has(original)) return;
  const replacement = function (this: object, ...args: unknown[]): unknown {
    return seen(this, args, Reflect.apply(original, this, args));
  };
  wrapped.add(replacement);
  Reflect.set(prototype, method, replacement);
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
