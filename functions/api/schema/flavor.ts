/** Bodies of flavors (nova/api/openstack/compute/schemas/flavor_manage.py, flavors_extraspecs.py, flavor_access.py). */
import { z } from "zod";
import { boolean, name, wholeNumber } from "./fields.ts";
import { last, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

/** What flavors are sorted by, by Nova's columns. */
const SORT_KEYS = [
  "flavorid",
  "id",
  "name",
  "vcpus",
  "memory_mb",
  "root_gb",
  "ephemeral_gb",
  "swap",
  "rxtx_factor",
] as const;
export type FlavorSortKey = (typeof SORT_KEYS)[number];

const MAX_RXTX_FACTOR = 3.402_82e38;

const id = z
  .union([z.string(), z.number().transform(String)])
  .pipe(
    z
      .string()
      .min(1)
      .max(255)
      .regex(/^(?! )[a-zA-Z0-9. _-]+(?<! )$/, "An id is letters, digits, spaces, '.', '_' and '-'."),
  )
  .nullable();

const description = z
  .string()
  .max(65_535)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, "It has characters that cannot be printed.")
  .nullable();

const flavor = versioned({
  name: { schema: name, required: true },
  id: { schema: id },
  ram: { schema: wholeNumber(1), required: true },
  vcpus: { schema: wholeNumber(1), required: true },
  disk: { schema: wholeNumber(0), required: true },
  "OS-FLV-EXT-DATA:ephemeral": { schema: wholeNumber(0) },
  swap: { schema: wholeNumber(0) },
  rxtx_factor: {
    schema: z
      .union([z.number(), z.string().regex(/^[0-9]{1,39}(\.[0-9]{1,10})?$/)])
      .transform(Number)
      .pipe(z.number().gt(0).max(MAX_RXTX_FACTOR)),
  },
  "os-flavor-access:is_public": { schema: boolean },
  description: { schema: description, on: "flavor.description" },
});

export const createFlavor = (minor: number) => z.strictObject({ flavor: flavor(minor) });
export type CreateFlavor = z.infer<ReturnType<typeof flavor>>;

export const updateFlavor = z.strictObject({ flavor: z.strictObject({ description }) });

/** Keys and values; a number is taken for its digits. */
export const extraSpecs = z.record(
  z.string().regex(/^[a-zA-Z0-9-_:. ]{1,255}$/, "A key has characters that are not allowed."),
  z.union([z.string().max(255), z.number().transform(String)]),
);

const tenantAccess = z.strictObject({
  tenant: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[a-zA-Z0-9-]+$/, "It is not a project's id."),
});

export const ACCESS_ACTIONS = {
  addTenantAccess: z.strictObject({ addTenantAccess: tenantAccess }),
  removeTenantAccess: z.strictObject({ removeTenantAccess: tenantAccess }),
} as const;

export const listFlavors = versioned(
  {
    limit: { schema: whole },
    marker: { schema: last },
    minRam: { schema: whole },
    minDisk: { schema: whole },
    is_public: { schema: last },
    sort_key: { schema: last.pipe(z.enum(SORT_KEYS)) },
    sort_dir: { schema: last.pipe(z.enum(["asc", "desc"])) },
  },
  "query.strict",
);
