import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { screenOf } from "../../functions/conductor/screen.ts";
import { isAddresses, type Link, refusalOf, stateOf } from "../../functions/console/link.ts";
import { frameAncestors } from "../../functions/console/origin.ts";
import { isOpen, recordOf, resumableUntil, type SessionRow } from "../../functions/console/session.ts";
import { specOf } from "./specs.ts";

const NOW = 1_000_000;
const bound = { generation: 3, screens_ended: 1 };
const terms = {
  label: "",
  rights: { input: true, clipboard: true, power: false },
  uses: null,
  addresses: [],
  ends_sessions: false,
};

function link(change: Partial<Link> = {}): Link {
  const giver = { user_id: "u", user_name: "Ann", project_id: "p", app_credential: null, is_admin: false };
  const connect = { transport: "unix", path: "/x" } as const;
  const times = { created_at: 0, expires_at: NOW + 1, revoked_at: null, revoked_why: null };
  return {
    id: "l",
    hash: "h",
    kind: "link",
    terms,
    pin: null,
    giver,
    bound,
    host: "h",
    connect,
    used: 0,
    pin_failures: 0,
    ...times,
    ...change,
  };
}

describe("a link", () => {
  it.each<[string, Partial<Link>, string | undefined]>([
    ["active", {}, undefined],
    ["expired", { expires_at: NOW }, "expired"],
    ["used_up", { terms: { ...terms, uses: 2 }, used: 2 }, "used_up"],
    ["active", { terms: { ...terms, uses: 2 }, used: 1 }, undefined],
    ["revoked", { revoked_at: 5, revoked_why: "revoked" }, "revoked"],
    ["revoked", { revoked_at: 5, revoked_why: "pin" }, "revoked"],
    ["revoked", { revoked_at: 5, revoked_why: "locked_out" }, "locked_out"],
  ])("is %s", (state, change, why) => {
    expect(stateOf(link(change), bound, NOW)).toBe(state);
    const refused = refusalOf(link(change), "192.0.2.1", NOW);
    expect(refused?.why).toBe(why);
    if (refused) expect(refused.ask).toBe("Ann");
  });

  it("is of one guest's screen", () => {
    expect(stateOf(link(), { ...bound, generation: 4 }, NOW)).toBe("server_restarted");
    expect(stateOf(link(), { ...bound, screens_ended: 2 }, NOW)).toBe("server_restarted");
    expect(stateOf(link(), null, NOW)).toBe("server_restarted");
  });

  it.each([
    [["192.0.2.0/24"], "192.0.2.77", true],
    [["192.0.2.0/24"], "192.0.3.1", false],
    [["192.0.2.7"], "192.0.2.7", true],
    [["192.0.2.7"], "::ffff:192.0.2.7", true],
    [["2001:db8::/32"], "2001:db8:1::1", true],
    [["2001:db8::/32"], "192.0.2.1", false],
    [["10.0.0.0/8", "2001:db8::1"], "2001:db8::1", true],
    [["10.0.0.0/8"], "unknown", false],
    [[], "unknown", true],
  ])("for %j opens from %s: %s", (addresses, from, opens) => {
    const refused = refusalOf(link({ terms: { ...terms, addresses } }), from, NOW);
    expect(refused?.why).toBe(opens ? undefined : "address");
  });

  it("takes addresses and networks, and throws at nothing", () => {
    expect(["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"].every(isAddresses)).toBe(true);
    expect(["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/"].some(isAddresses)).toBe(false);
    fc.assert(
      fc.property(fc.string(), fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), (text, from) => {
        if (isAddresses(text)) refusalOf(link({ terms: { ...terms, addresses: [text] } }), from, NOW);
      }),
    );
  });
});

describe("a screen", () => {
  const record = (change: Partial<ServerRecord>): ServerRecord => ({
    ...newRecord(specOf()),
    vm_state: "active",
    host: "h",
    ...bound,
    ...change,
  });
  it.each<[string, Partial<ServerRecord>, boolean]>([
    ["here", {}, false],
    ["here", { task_state: "rebooting_hard" }, false],
    ["gone", { task_state: "deleting" }, false],
    ["gone", { vm_state: "soft-delete" }, false],
    ["stopped", { vm_state: "stopped", screens_ended: 2 }, false],
    ["stopped", { host: null }, false],
    ["restarted", { generation: 4, screens_ended: 2 }, false],
    ["here", { generation: 4, screens_ended: 2 }, true],
    ["restarted", { generation: 5, screens_ended: 3 }, true],
    ["stopped", { generation: 4, vm_state: "stopped", task_state: "powering-on" }, true],
    ["restarted", { screens_ended: 2 }, false],
  ])("is %s: %j, carried %s", (is, change, carried) => {
    expect(screenOf(record(change), bound, carried).is).toBe(is);
  });
  it("of no server is gone", () => expect(screenOf(null, bound, false).is).toBe("gone"));
});

describe("a session", () => {
  const counts = { bytes_up: 1, bytes_down: 2, keys: 3, pointers: 4, cut_texts: 5 };
  const row = (change: Partial<SessionRow>): SessionRow => ({
    ...counts,
    ...{
      id: "s",
      link: "l",
      label: "Bo",
      user_id: "u",
      address: "192.0.2.1",
      attempt: null,
      page: true,
      host: "h",
      bound,
      carried: false,
    },
    ...{
      started_at: NOW,
      leg: 1,
      joined_at: NOW,
      leg_seen: 0,
      left_at: null,
      code: null,
      over_at: null,
      over_why: null,
    },
    ...change,
  });
  it("is open while a connection is, and then can be gone on with for a time", () => {
    expect(isOpen(row({}))).toBe(true);
    expect(resumableUntil(row({}), 5)).toBe(Number.POSITIVE_INFINITY);
    const left = row({ leg_seen: 1, left_at: NOW + 10, code: 1006 });
    expect([isOpen(left), resumableUntil(left, 5)]).toEqual([false, NOW + 15]);
    expect(recordOf(left, "v", "p")).toMatchObject({ open: false, ended_by: "connection_lost", bytes_up: 1 });
    expect(recordOf(row({}), "v", "p")).toMatchObject({ open: true, ended_at: null, ended_by: null });
  });
  it("that nobody came to says so", () => {
    expect(recordOf(row({ leg: 0, joined_at: null }), "v", "p").ended_by).toBe("never_connected");
  });
  it("that was cut says why", () => {
    const cut = row({ left_at: NOW, code: 4403, over_at: NOW, over_why: "revoked" });
    expect(recordOf(cut, "v", "p")).toMatchObject({ open: false, ended_by: "revoked" });
    expect(resumableUntil(cut, 5)).toBe(NOW);
  });
});

it("may be shown in frames of the dashboards that are named", () => {
  expect(frameAncestors({ CONSOLE_ALLOWED_ORIGINS: [] })).toBeNull();
  expect(frameAncestors({ CONSOLE_ALLOWED_ORIGINS: ["https://h.example"] })).toBe(
    "frame-ancestors 'self' https://h.example",
  );
});
