import { expect, it } from "vitest";
import { parseCapabilities } from "../../agent/drivers/libvirt/capabilities.ts";
import { cpuInfo } from "../../functions/protocol/resources.ts";

const cpuOf = (host: string) => parseCapabilities(`<capabilities><host>${host}</host></capabilities>`).cpu;

it("is what Nova's libvirt driver tells of a host's processors", () => {
  const found = cpuOf(`
    <cpu>
      <arch>x86_64</arch><model>Skylake-Client-IBRS</model><vendor>Intel</vendor>
      <microcode version='1'/>
      <topology sockets='1' dies='1' clusters='1' cores='4' threads='2'/>
      <feature name='vmx'/><feature name='aes'/><feature name='vmx'/>
      <pages unit='KiB' size='4'/>
    </cpu>
    <topology><cells num='2'><cell id='0'/><cell id='1'/></cells></topology>`);
  expect(found).toEqual({
    vendor: "Intel",
    model: "Skylake-Client-IBRS",
    arch: "x86_64",
    features: ["vmx", "aes"],
    topology: { cells: 2, sockets: 1, cores: 4, threads: 2 },
  });
});

it("is what there is, of a host that says little, and always as the edge takes it", () => {
  const one = { cells: 1, sockets: 1, cores: 1, threads: 1 };
  expect(cpuOf("<cpu><arch>aarch64</arch></cpu>")).toEqual({
    ...{ vendor: "", model: "", arch: "aarch64", features: [] },
    topology: one,
  });
  expect(cpuOf("")).toBeUndefined();
  const features = Array.from({ length: 2000 }, (_, at) => `<feature name='${"f".repeat(90)}${at}'/><feature/>`);
  const many = Array.from({ length: 2000 }, (_, at) => `<feature name='f${at}'/>`);
  const huge = "<topology sockets='99999999999' cores='-1' threads='x'/>";
  for (const list of [features, many]) {
    const found = cpuOf(`<cpu><arch>${"a".repeat(99)}</arch>${huge}${list.join("")}</cpu>`);
    expect(cpuInfo.parse(found)).toMatchObject({ topology: one });
  }
});
