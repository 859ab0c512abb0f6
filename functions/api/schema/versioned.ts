/** Objects whose properties come and go with the microversions: a table says which has what, by the rows of HISTORY. */
import { z } from "zod";
import { type Feature, has } from "../history.ts";

export type Property = {
  /** Or what makes it for 2.<minor>. */
  schema: z.ZodType | ((minor: number) => z.ZodType);
  /** The microversions that know it; all of them if absent. */
  on?: Feature;
  /** Whether it must be there: always, or in these microversions. */
  required?: true | Feature;
};
/** Of a list, the first that the microversion knows holds: the newest form stands first. */
type Table = Readonly<Record<string, Property | readonly Property[]>>;

type Made<S> = S extends z.ZodType ? z.infer<S> : S extends (minor: number) => infer Z ? z.infer<Z> : never;
type Value<P> = P extends Property
  ? Made<P["schema"]>
  : P extends readonly Property[]
    ? Made<P[number]["schema"]>
    : never;
type Required = { required: true } | readonly { required: true }[];
/** What a table's schemas make of a request, whichever the microversion. */
export type Shape<T extends Table> = {
  [K in keyof T as T[K] extends Required ? K : never]: Value<T[K]>;
} & {
  [K in keyof T as T[K] extends Required ? never : K]?: Value<T[K]> | undefined;
};

/**
 * The object with `table`'s properties, by microversion. Another property is refused: always, or, as a query's, only in
 * the microversions `strict`, and dropped in the others.
 */
export function versioned<T extends Table>(table: T, strict?: Feature): (minor: number) => z.ZodType<Shape<T>> {
  return (minor) => {
    const shape: Record<string, z.ZodType> = {};
    for (const [name, row] of Object.entries(table)) {
      const form = [row].flat().find(({ on }) => on === undefined || has(minor, on));
      if (form === undefined) continue;
      const { required } = form;
      const schema = typeof form.schema === "function" ? form.schema(minor) : form.schema;
      const must = required === true || (required !== undefined && has(minor, required));
      shape[name] = must ? schema : schema.optional();
    }
    const object = strict === undefined || has(minor, strict) ? z.strictObject(shape) : z.object(shape);
    // The compiler cannot see through the table; this is the one place that tells it what the table makes.
    return object as unknown as z.ZodType<Shape<T>>;
  };
}
