/** Queries whose unknown parameters are ignored up to 2.74, and refused from 2.75 on. */
import { z } from "zod";
import { has } from "../history.ts";

export function parameters<S extends z.ZodRawShape>(minor: number, shape: S): z.ZodObject<S> {
  return has(minor, "query.strict") ? (z.strictObject(shape) as unknown as z.ZodObject<S>) : z.object(shape);
}
