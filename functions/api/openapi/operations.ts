/** One operation of the API as OpenAPI tells it. */

import type { ServerAction, ServerActions } from "../actions/action.ts";
import { HISTORY, type Range } from "../history.ts";
import { MAX_MINOR, MIN_MINOR } from "../microversion.ts";
import type { Operation } from "../operation.ts";
import { annotated, formsOf, version } from "./changes.ts";
import { type JsonSchema, jsonSchema } from "./json-schema.ts";
import { type Parameter, pathParameters, queryParameters } from "./parameters.ts";

export type OperationObject = {
  operationId: string;
  summary: string;
  tags: string[];
  parameters: (Parameter | { $ref: string })[];
  requestBody?: object;
  responses: Record<string, object>;
  "x-policy": { rule: string; role: string };
  "x-microversions"?: { since?: string; until?: string };
};

/** What any operation may answer, by who asks and what he sends. */
const ALWAYS = [401, 403, 406];

/** @param actions for the one operation whose body's key says what is meant: each with its own rules. */
export function operationObject(
  path: string,
  method: string,
  row: Operation,
  actions?: ServerActions,
): OperationObject {
  const range = rangeOf(row);
  const statuses = [row.status].flat();
  const faults = [
    ...ALWAYS,
    ...(path.includes(":") || row.on ? [404] : []),
    ...(row.query || row.body || path.includes(":") ? [400] : []),
    ...(row.body ? [413, 415] : []),
    ...(method === "GET" ? [] : [409]),
  ].filter((status) => !statuses.includes(status));
  const body = bodyOf(row, actions);
  return {
    operationId: idOf(path, method),
    summary: row.summary,
    tags: [tagOf(path)],
    parameters: [
      ...pathParameters(path),
      ...(row.query ? queryParameters(row.query, range) : []),
      { $ref: "#/components/parameters/microversion" },
    ],
    ...(body ? { requestBody: { required: true, content: { "application/json": { schema: body } } } } : {}),
    responses: Object.fromEntries([
      ...statuses.map((status) => [status, status >= 400 ? faultRef(status) : answer(status, row.answers)]),
      ...faults.sort((a, b) => a - b).map((status) => [status, faultRef(status)]),
    ]),
    "x-policy": { rule: row.rule, role: row.role },
    ...microversions(row),
  };
}

function bodyOf(row: Operation, actions: ServerActions | undefined): JsonSchema | undefined {
  if (actions) return { oneOf: Object.entries(actions).map(([key, action]) => actionBody(key, action)) };
  if (row.forms)
    return { oneOf: Object.entries(row.forms).map(([key, form]) => ({ title: key, ...jsonSchema(form) })) };
  return row.body && annotated(formsOf(row.body, rangeOf(row)));
}

function actionBody(key: string, action: ServerAction): JsonSchema {
  const value = action.value ? annotated(formsOf(action.value, rangeOf(action))) : {};
  return {
    title: key,
    description: `${action.summary}. It answers ${action.status}.`,
    type: "object",
    properties: { [key]: value },
    required: [key],
    additionalProperties: false,
    "x-policy": { rule: action.rule, role: action.role },
    ...microversions(action),
  };
}

const faultRef = (status: number) => ({ $ref: `#/components/responses/fault${status}` });

function answer(status: number, key: string | undefined): object {
  if (status === 204) return { description: "Done; there is nothing to tell." };
  const description = status === 202 ? "Accepted: it is under way." : "Done.";
  if (key === undefined) return { description };
  const schema = { type: "object", required: [key], properties: { [key]: {} } };
  return { description, content: { "application/json": { schema } } };
}

/** The microversions that have it and that are served. */
export function rangeOf({ on }: Pick<Operation, "on">): Range {
  return on === undefined ? {} : HISTORY[on];
}

/** Whether any microversion that is served has it. */
export function isServed(row: Pick<Operation, "on">): boolean {
  const { since = MIN_MINOR }: Range = rangeOf(row);
  return since <= MAX_MINOR;
}

function microversions(row: Pick<Operation, "on">): { "x-microversions"?: { since?: string; until?: string } } {
  if (row.on === undefined) return {};
  const { since, until } = rangeOf(row);
  return {
    "x-microversions": {
      ...(since === undefined ? {} : { since: version(since) }),
      ...(until === undefined ? {} : { until: version(until) }),
    },
  };
}

/** Resources are told apart by what stands first in the path; what hangs on a server, by what stands behind it. */
export function tagOf(path: string): string {
  const [, first = "", , third] = path.split("/");
  return first === "servers" && third !== undefined ? `servers: ${third}` : first;
}

function idOf(path: string, method: string): string {
  const words = path.split("/").filter((part) => part !== "");
  const named = words.map((word) => (word.startsWith(":") ? `by-${word.slice(1)}` : word === "*" ? "rest" : word));
  return [method.toLowerCase(), ...named].join("-").replace(/[^a-z0-9-]+/gi, "_");
}
