/** `edgenova session` and `edgenova share`: who is on a console, and with whom. */
import { Argument, type Command } from "commander";
import { SHARING, type Sharing } from "../../functions/protocol/console.ts";
import { positive } from "./arguments.ts";
import { type ChooseFlags, type Common, common, connect, print } from "./command.ts";
import {
  endSession,
  findServer,
  listAllSessions,
  listSessions,
  pickSession,
  type Session,
  share as setSharing,
} from "./console-api.ts";
import { sessionTable } from "./console-text.ts";

type ListFlags = Common & { open?: true; allProjects?: true; limit: number };

const DEFAULT_LIMIT = 100;

const SHARED: Record<Sharing, string> = {
  all: "everybody who may type types at once",
  one: "one types at a time, and hands it over",
  private: "one viewer at a time",
};

export function addSessionCommands(program: Command): void {
  const session = program.command("session").description("who is on a console now, and who was");
  common(session.command("list [server]"), "the server's console sessions; without a server, those of the project")
    .option("--open", "only those that are open")
    .option("--all-projects", "of all projects, for admins; without a server")
    .option("--limit <n>", "at most so many; without a server", positive, DEFAULT_LIMIT)
    .action(list);
  common(session.command("end <server> [session...]"), "end sessions, by id or by the label of their link")
    .option("--all", "all that are open")
    .action(end);
  common(program.command("share <server>"), "how several people share the server's screen")
    .addArgument(new Argument("<how>", "all may type, one at a time, or one viewer alone").choices(SHARING))
    .action(share);
}

async function list(server: string | undefined, flags: ListFlags): Promise<void> {
  const api = await connect(flags);
  if (server !== undefined) {
    const all = await listSessions(api, await findServer(api, server));
    const sessions = flags.open ? all.filter(({ open }) => open) : all;
    return print(flags, sessions, () => sessionTable(sessions, Date.now()));
  }
  const { open = false, allProjects = false, limit } = flags;
  const { sessions, more } = await listAllSessions(api, { open, allProjects, limit });
  const rest = more ? `There are more: see them with --limit ${limit * 10}\n` : "";
  print(flags, sessions, () => `${sessionTable(sessions, Date.now(), true)}${rest}`);
}

async function end(server: string, which: string[], flags: ChooseFlags, command: Command): Promise<void> {
  if (which.length > 0 === (flags.all ?? false)) command.error("error: name the sessions to end, or --all of them");
  const api = await connect(flags);
  const found = await findServer(api, server);
  const open = (await listSessions(api, found)).filter((one) => one.open);
  const chosen: Session[] = flags.all ? open : which.map((one) => pickSession(open, one));
  for (const one of chosen) await endSession(api, found, one);
  const ended = chosen.map(({ id }) => id);
  print(flags, { ended }, () => `ended ${ended.length === 1 ? "1 session" : `${ended.length} sessions`}\n`);
}

async function share(server: string, how: Sharing, flags: Common): Promise<void> {
  const api = await connect(flags);
  const found = await findServer(api, server);
  const sharing = await setSharing(api, found, how);
  print(flags, { sharing }, () => `${found.name}: ${SHARED[sharing]}\n`);
}
