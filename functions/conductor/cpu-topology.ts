/** How a guest's CPUs are arranged (nova/virt/hardware.py: _get_desirable_cpu_topologies). Pure. */
import { err, ok, type Result } from "../result.ts";

const PARTS = ["sockets", "cores", "threads"] as const;
export type Topology = Record<Part, number>;

/** More than any machine has (nova). */
const UNLIMITED = 65_536;

/** What a flavor or an image wants, and what it allows at most; 0 is no word on it. */
type Wish = { wanted: Topology; most: Topology };
type Part = (typeof PARTS)[number];
type Read = (name: Part | `max_${Part}`) => number;

/** null where nobody says anything: the hypervisor then arranges them. */
export function cpuTopology(vcpus: number, flavor: Read, image: Read): Result<Topology | null, string> {
  const [f, i] = [wish(flavor), wish(image)];
  if (PARTS.every((part) => !(f.wanted[part] || f.most[part] || i.wanted[part] || i.most[part]))) return ok(null);
  const over = PARTS.find((part) => f.most[part] > 0 && Math.max(i.most[part], i.wanted[part]) > f.most[part]);
  if (over !== undefined) return err(`Image's CPU ${over} are more than its flavor allows.`);
  const most = each((part) => i.most[part] || f.most[part] || UNLIMITED);
  const wanted = each((part) => f.wanted[part] || i.wanted[part]);
  const [best] = possible(vcpus, most).toSorted((a, b) => matches(b, wanted) - matches(a, wanted));
  return best ? ok(best) : err(`No CPU topology of ${vcpus} CPUs is within the limits that are set.`);
}

const each = (read: (part: Part) => number): Topology => ({
  sockets: read("sockets"),
  cores: read("cores"),
  threads: read("threads"),
});

const wish = (read: Read): Wish => ({ wanted: each(read), most: each((part) => read(`max_${part}`)) });

/** Those with the most sockets first, then with the most cores. */
function possible(vcpus: number, most: Topology): Topology[] {
  const divisors = (count: number, limit: number) =>
    Array.from({ length: Math.min(count, limit) }, (_, i) => Math.min(count, limit) - i).filter((n) => count % n === 0);
  return divisors(vcpus, most.sockets).flatMap((sockets) =>
    divisors(vcpus / sockets, most.cores)
      .map((cores) => ({ sockets, cores, threads: vcpus / sockets / cores }))
      .filter(({ threads }) => threads <= most.threads),
  );
}

/** In how many parts it is what was wanted. */
const matches = (topology: Topology, wanted: Topology) =>
  PARTS.filter((part) => wanted[part] > 0 && topology[part] === wanted[part]).length;
