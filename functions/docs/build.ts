/** Builds the API's reference: the OpenAPI document, and the page at /docs that shows it with Swagger UI. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { RESOURCES } from "../api/app.ts";
import { openApi } from "../api/openapi/document.ts";
import { DOCS_PAGE, OPENAPI } from "../api/openapi/served.ts";
import { SERVER_ACTIONS } from "../api/server-actions.ts";
import { type Assets, fillPage, hashedPath } from "../assets.ts";

const SWAGGER_UI = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));

/** No inline script or style, no other origin, no frame. `img-src`: Swagger UI's icons are data: URLs in its style. */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

export async function reference(): Promise<Assets> {
  const read = (...path: string[]) => readFile(join(...path), "utf8");
  const [script, style, start, own, template] = await Promise.all([
    read(SWAGGER_UI, "swagger-ui-bundle.js"),
    read(SWAGGER_UI, "swagger-ui.css"),
    read(import.meta.dirname, "reference.js"),
    read(import.meta.dirname, "style.css"),
    read(import.meta.dirname, "page.html"),
  ]);
  // Its source maps are not served.
  const scripts = `${script.replace(/\n\/\/# sourceMappingURL=.*/, "")}\n${start}`;
  const styles = `${style.replace(/\n?\/\*# sourceMappingURL=.*\*\//, "")}\n${own}`;
  const paths = { script: hashedPath("docs", "js", scripts), style: hashedPath("docs", "css", styles) };
  const document = JSON.stringify(openApi({ resources: RESOURCES, actions: SERVER_ACTIONS }));
  return {
    files: new Map([
      [paths.script, scripts],
      [paths.style, styles],
      [OPENAPI, document],
      [DOCS_PAGE, fillPage(template, paths)],
    ]),
    pages: { [DOCS_PAGE]: CSP },
  };
}
