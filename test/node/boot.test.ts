import { afterAll, beforeAll, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

async function show(id: string) {
  const response = await edge.call("GET", `/compute/v2.1/servers/${id}`);
  return response.status === 200 ? (await response.json()).server : null;
}

it("boots, stops, starts, reboots and deletes a server", async () => {
  const id = await edge.cloud.createServer("a", image, "1");
  const built = await edge.cloud.built(id, 20_000);
  expect(built.status).toBe("ACTIVE");
  const act = async (body: unknown) => (await edge.call("POST", `/compute/v2.1/servers/${id}/action`, { body })).status;
  expect(await act({ "os-start": null })).toBe(409);
  expect(await act({ "os-stop": null })).toBe(202);
  await until(async () => (await show(id)).status === "SHUTOFF", "it is off");
  expect(await show(id)).toMatchObject({ "OS-EXT-STS:power_state": 4, "OS-EXT-STS:task_state": null });
  expect(await act({ "os-start": null })).toBe(202);
  await until(async () => (await show(id)).status === "ACTIVE", "it is on");
  expect(await act({ reboot: { type: "HARD" } })).toBe(202);
  await until(async () => (await show(id)).status === "ACTIVE", "it is back");
  expect((await edge.call("DELETE", `/compute/v2.1/servers/${id}`)).status).toBe(204);
  await until(async () => (await show(id)) === null, "it is gone");
  expect((await (await edge.call("GET", "/compute/v2.1/servers")).json()).servers).toEqual([]);
});
