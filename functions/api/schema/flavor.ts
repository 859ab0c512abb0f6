/** Bodies of flavors (nova/api/openstack/compute/schemas/flavor_manage.py, flavors_extraspecs.py, flavor_access.py). */
import { z } from "zod";
import { has } from "../history.ts";
import { boolean, name, wholeNumber } from "./fields.ts";
import { last, whole } from "./list.ts";
import { parameters } from "./query.ts";

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
  .nullish();

const description = z
  .string()
  .max(65_535)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, "It has characters that cannot be printed.")
  .nullable();

export const createFlavor = (minor: number) =>
  z.strictObject({
    flavor: z.strictObject({
      name,
      id,
      ram: wholeNumber(1),
      vcpus: wholeNumber(1),
      disk: wholeNumber(0),
      "OS-FLV-EXT-DATA:ephemeral": wholeNumber(0).optional(),
      swap: wholeNumber(0).optional(),
      rxtx_factor: z
        .union([z.number(), z.string().regex(/^[0-9]{1,39}(\.[0-9]{1,10})?$/)])
        .transform(Number)
        .pipe(z.number().gt(0).max(MAX_RXTX_FACTOR))
        .optional(),
      "os-flavor-access:is_public": boolean.optional(),
      ...(has(minor, "flavor.description") ? { description: description.optional() } : {}),
    }),
  }) as unknown as z.ZodType<{ flavor: CreateFlavor }>;

export type CreateFlavor = {
  name: string;
  id?: string | null;
  ram: number;
  vcpus: number;
  disk: number;
  "OS-FLV-EXT-DATA:ephemeral"?: number;
  swap?: number;
  rxtx_factor?: number;
  "os-flavor-access:is_public"?: boolean;
  description?: string | null;
};

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

export const listFlavors = (minor: number) =>
  parameters(minor, {
    limit: whole.optional(),
    marker: last.optional(),
    minRam: whole.optional(),
    minDisk: whole.optional(),
    is_public: last.optional(),
    sort_key: last.pipe(z.enum(SORT_KEYS)).optional(),
    sort_dir: last.pipe(z.enum(["asc", "desc"])).optional(),
  });
