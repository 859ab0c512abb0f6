import { execSync } from "node:child_process";
import { startTestEdge } from "../edge.ts";
const e = await startTestEdge();
console.log(e.url, process.pid);
console.log(execSync("ps -eo pid,ppid,rss,args | grep -v grep | grep -E 'workerd|miniflare' | cut -c1-300; ss -ltnp | cut -c1-150").toString());
const r = await fetch(e.url + "/compute/v2.1");
console.log([...r.headers]);
await e.close();
