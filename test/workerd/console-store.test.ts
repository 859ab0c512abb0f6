import { env, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { ConsoleStore, MIGRATIONS } from "../../functions/console/console-store.ts";
import type { NewLink } from "../../functions/console/link.ts";
import { migrate } from "../../functions/store/migrate.ts";

const NOW = 1_000_000;
const LINK_MS = 5000;
const SESSION_MS = 90_000;
const counts = { bytes_up: 0, bytes_down: 0, keys: 0, pointers: 0, cut_texts: 0 };
const screen = { host: "h", bound: { generation: 1, screens_ended: 0 } };

const link = (id: string, expires_at: number, ends_sessions = false): NewLink => ({
  ...{ id, hash: id, kind: "link", pin: null, created_at: 0, expires_at, ...screen },
  giver: { user_id: "u", user_name: "Ann", project_id: "p", app_credential: null, is_admin: false },
  connect: { transport: "unix", path: "/x" },
  terms: {
    ...{ label: "", uses: null, addresses: [], ends_sessions },
    rights: { input: true, clipboard: true, power: false },
  },
});
const session = (id: string, of: string, started_at = NOW) => ({
  ...{ id, link: of, label: "", user_id: "u", address: "192.0.2.1", attempt: null, page: true, started_at },
  ...screen,
});

/** Runs `act` on a store of its own. */
function onStore(name: string, act: (store: ConsoleStore) => void): Promise<void> {
  return runInDurableObject(env.CONSOLE.getByName(name), (_, { storage }) => {
    migrate(storage, MIGRATIONS);
    act(new ConsoleStore(storage.sql));
  });
}

it("counts who is on the screen, and who is coming for as long as that may take", () =>
  onStore("places", (store) => {
    for (const id of ["on", "coming", "gone", "over"]) store.addSession(session(id, id === "on" ? "a" : "b"));
    for (const id of ["on", "gone", "over"]) store.joined(id, 1, screen, NOW);
    store.left("gone", 1, 1006, counts, NOW);
    store.over("over", "killed", 4411, NOW);
    const ids = (now: number) => store.present(now).map(({ id }) => id);
    expect(ids(NOW + 1).sort()).toEqual(["coming", "on"]);
    expect(store.places("a", NOW + 1)).toEqual({ all: 2, of_link: 1 });
    expect(ids(NOW + 61_000)).toEqual(["on"]);
    expect(store.places("b", NOW + 61_000)).toEqual({ all: 1, of_link: 0 });
  }));

it("knows what ends first", () =>
  onStore("ends", (store) => {
    const next = (now = NOW) => store.nextEnd(now, LINK_MS, SESSION_MS);
    expect(next()).toBeNull();
    store.addLink(link("a", NOW + 100, true));
    // A link alone ends nobody's session.
    expect(next()).toBe(NOW + 100 + LINK_MS);
    store.addSession(session("s", "a"));
    store.addLink(link("b", NOW + 50));
    expect(next()).toBe(NOW + 100);
    expect(next(NOW + 100)).toBe(NOW + 50 + LINK_MS);
    expect(next(NOW + 100 + LINK_MS)).toBe(NOW + SESSION_MS);
    expect(next(NOW + SESSION_MS)).toBeNull();
    store.over("s", "expired", 4412, NOW);
    expect(next()).toBe(NOW + 50 + LINK_MS);
  }));
