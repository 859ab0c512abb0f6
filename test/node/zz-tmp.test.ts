import { it } from "vitest";
import { startTestEdge, demoImage } from "../edge.ts";
it("close", async () => {
  let t = performance.now();
  const at = (w: string) => { process.stderr.write(w + " " + Math.round(performance.now() - t) + "\n"); t = performance.now(); };
  const edge = await startTestEdge();
  at("start");
  const a = await edge.agent("one"); at("agent");
  const img = await demoImage(edge.cloud); at("image");
  const id = await edge.cloud.createServer("a", img, "1"); await edge.cloud.built(id, 20000); at("built");
  await edge.cloud.consoleUrl(id); at("url");
  await a.agent.stop(); at("agent stop");
  await edge.harness.close(); at("harness close");
  await edge.close(); at("close");
});
