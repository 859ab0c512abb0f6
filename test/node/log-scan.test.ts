import { expect, it } from "vitest";
import { expectNoSecrets, noteLinks } from "../log-scan.ts";
import { tokenOf } from "../tokens.ts";

const TOKEN = "7e5c6ff1-4a9c-4ff7-8b0c-4e1d4d9ad6ce";

it("finds what is signed, and a link's token once it was given", async () => {
  const scan = (log: string) => () => expectNoSecrets(log, "a test");
  expect(scan(`{"event":"console.opened"}\n{"message":"key ${await tokenOf()}"}`)).toThrow(/1 secrets .* a test/);
  const log = `{"event":"console.opened","server":"${TOKEN}"}`;
  expect(scan(log)).not.toThrow();
  noteLinks(`{"url":"https://edge.example/vnc_auto.html?token=${TOKEN}&title=a"}`);
  expect(scan(log)).toThrow(/the first after: \{"event":"console.opened","server":"$/);
});
