/** `edgenova link`: console links that can be handed out, and taken back. */
import type { Command } from "commander";
import { addresses, duration, label, makePin, pin, positive } from "./arguments.ts";
import { type ChooseFlags, type Common, common, connect, print } from "./command.ts";
import { createLink, findServer, type LinkRequest, listLinks, pickLink, revokeLinks, showLink } from "./console-api.ts";
import { linkTable, linkText, newLinkText } from "./console-text.ts";

/** `pin`: true for one that is made here. `for`: seconds. */
export type CreateFlags = Common & {
  view?: true;
  clipboard?: boolean;
  power?: true;
  for?: number;
  uses?: number;
  pin?: string | true;
  from?: string[];
  label?: string;
  endSessions?: true;
};

export function addLinkCommands(program: Command): void {
  const link = program.command("link").description("links to a server's console that can be handed out and taken back");
  common(link.command("create <server>"), "make a link, and print it this once")
    .option("--view", "whoever has it may watch and not type")
    .option("--clipboard", "with the clipboard, both ways (default: unless --view)")
    .option("--no-clipboard", "without the clipboard")
    .option("--power", "with start, stop, reboot and reset")
    .option("--for <time>", "when it ends: 45s, 30m, 12h, 7d (default: 24h)", duration)
    .option("--uses <n>", "how many sessions it opens (default: any number)", positive)
    .option("--pin [digits]", "ask for a PIN of 4 to 12 digits; without digits, one is made and printed", pin)
    .option("--from <cidr>", "the addresses that it is for; may be repeated (default: all)", addresses)
    .option("--label <text>", "whose it is: shown to who is on the screen, and in lists", label)
    .option("--end-sessions", "sessions that it opened end when it does")
    .action(create);
  common(link.command("list <server>"), "the server's links").action(list);
  common(link.command("show <server> <link>"), "one link, by id or label, and who used it").action(show);
  common(link.command("revoke <server> [link...]"), "take links back, by id or label; their sessions end")
    .option("--all", "all of the server's")
    .action(revoke);
}

/** What to ask for; `digits` is the PIN, given or made. */
export function linkRequest(flags: CreateFlags, digits: string | undefined): LinkRequest {
  return {
    rights: flags.view ? "view" : "control",
    power: flags.power ?? false,
    addresses: flags.from ?? [],
    ends_sessions: flags.endSessions ?? false,
    ...(flags.clipboard === undefined ? {} : { clipboard: flags.clipboard }),
    ...(flags.for === undefined ? {} : { expires_in: flags.for }),
    ...(flags.uses === undefined ? {} : { uses: flags.uses }),
    ...(flags.label === undefined ? {} : { label: flags.label }),
    ...(digits === undefined ? {} : { pin: digits }),
  };
}

async function create(server: string, flags: CreateFlags): Promise<void> {
  const digits = flags.pin === true ? makePin() : flags.pin;
  const api = await connect(flags);
  const found = await findServer(api, server);
  const link = await createLink(api, found, linkRequest(flags, digits));
  const shown = digits === undefined ? link : { ...link, pin_digits: digits };
  print(flags, shown, () => newLinkText(found, link, digits, Date.now()));
}

async function list(server: string, flags: Common): Promise<void> {
  const api = await connect(flags);
  const links = await listLinks(api, await findServer(api, server));
  print(flags, links, () => linkTable(links, Date.now()));
}

async function show(server: string, which: string, flags: Common): Promise<void> {
  const api = await connect(flags);
  const found = await findServer(api, server);
  const link = await showLink(api, found, pickLink(await listLinks(api, found), which));
  print(flags, link, () => linkText(found, link, link.sessions, Date.now()));
}

async function revoke(server: string, which: string[], flags: ChooseFlags, command: Command): Promise<void> {
  if (which.length > 0 === (flags.all ?? false)) command.error("error: name the links to revoke, or --all of them");
  const api = await connect(flags);
  const found = await findServer(api, server);
  const links = await listLinks(api, found);
  // Each is found before the first is revoked: a misspelt one stops the whole.
  await revokeLinks(api, found, flags.all ? "all" : which.map((one) => pickLink(links, one)));
  const active = new Set(links.filter(({ state }) => state === "active").map(({ id }) => id));
  const after = await listLinks(api, found);
  const revoked = after.filter(({ id, state }) => active.has(id) && state === "revoked").map(({ id }) => id);
  print(flags, { revoked }, () => `revoked ${revoked.length === 1 ? "1 link" : `${revoked.length} links`}\n`);
}
