import type { Inventory } from "../../protocol/guest.ts";
import { matches } from "../extra-specs-ops.ts";
import type { Filter } from "./filter.ts";

/** Image properties by their old names, too. */
const NAMES = {
  architecture: ["hw_architecture", "architecture"],
  type: ["img_hv_type", "hypervisor_type"],
  mode: ["hw_vm_mode", "vm_mode"],
  version: ["img_hv_requested_version", "hypervisor_version_requires"],
} as const;

const PARTS = ["arch", "hv_type", "vm_mode"] as const;

/** Spellings of one architecture (nova/objects/fields.py Architecture.canonicalize). */
const SAME: Readonly<Record<string, string>> = {
  amd64: "x86_64",
  "x86-64": "x86_64",
  x64: "x86_64",
  i386: "i686",
  arm64: "aarch64",
};

/** The host runs guests of the image's architecture, hypervisor, its version, and mode (nova/scheduler/filters/image_props_filter.py). */
export const ImagePropertiesFilter: Filter = {
  name: "ImagePropertiesFilter",
  run_on_rebuild: true,
  ask({ image }, { IMAGE_PROPERTIES_DEFAULT_ARCHITECTURE }) {
    const property = (of: keyof typeof NAMES) => {
      const name = NAMES[of].find((one) => Object.hasOwn(image.properties, one));
      return name === undefined ? undefined : image.properties[name]?.toLowerCase();
    };
    const architecture = property("architecture") ?? (IMAGE_PROPERTIES_DEFAULT_ARCHITECTURE || undefined);
    const wanted = {
      arch: architecture && (SAME[architecture] ?? architecture),
      hv_type: property("type"),
      vm_mode: property("mode"),
    };
    const asked = PARTS.filter((part) => wanted[part] !== undefined);
    const versions = property("version");
    if (asked.length === 0 && versions === undefined) return null;
    return ({ inventory }) => {
      const runs = inventory.supported_instances ?? [];
      const supported = runs.some((one) => asked.every((part) => wanted[part] === one[part]));
      if (asked.length > 0 && !supported) return `it runs no guests of ${asked.map((part) => wanted[part]).join(", ")}`;
      if (versions !== undefined && !inRange(inventory, versions))
        return `its hypervisor's version is ${inventory.hypervisor_version}, not ${versions}`;
      return null;
    };
  },
};

/** `>=1.0, <3.0`, as Python's version predicates: every part must hold. */
function inRange({ hypervisor_version }: Inventory, versions: string): boolean {
  return versions.split(",").every((part) => {
    const [, operator = "", number = ""] = /^\s*(==|!=|<=|>=|<|>)?\s*([\d.]+)\s*$/.exec(part) ?? [];
    if (number === "") return false;
    const wanted = versionNumber(number);
    if (operator === "<") return hypervisor_version < wanted;
    if (operator === ">") return hypervisor_version > wanted;
    return matches(String(hypervisor_version), `${operator || "=="} ${wanted}`);
  });
}

/** 1.2.3 is 1002003 (nova/utils.py convert_version_to_int). */
function versionNumber(text: string): number {
  const [major = 0, minor = 0, micro = 0] = text.split(".").map(Number);
  return major * 1_000_000 + minor * 1000 + micro;
}
