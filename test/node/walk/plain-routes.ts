/** The routes that no table of the API has, those of identity, images and agents: what the walk must know of each. */

export type PlainRoute = {
  /** Whose call it is: `agent`'s are signed by a host's key. */
  who: "anyone" | "user" | "admin" | "agent";
  /** A good JSON body. */
  body?: object;
  /** Of its body, if it is not JSON's own. */
  type?: string;
};

const reference = { id: "x" };
const password = { user: { name: "x", domain: reference, password: "x" } };
const applicationCredential = {
  name: "x",
  description: "x",
  secret: "x",
  expires_at: "2030-01-01T00:00:00Z",
  roles: [reference],
  unrestricted: false,
};
const entities = ([plural, kind, fields]: [string, string, object]): Record<string, PlainRoute> => ({
  [`GET /identity/v3/${plural}`]: { who: "admin" },
  [`POST /identity/v3/${plural}`]: { who: "admin", body: { [kind]: { name: "x", description: "x", ...fields } } },
  [`GET /identity/v3/${plural}/:id`]: { who: "admin" },
  [`PATCH /identity/v3/${plural}/:id`]: { who: "admin", body: { [kind]: { name: "x", description: "x", ...fields } } },
  [`DELETE /identity/v3/${plural}/:id`]: { who: "admin" },
});

const ROLES = "/identity/v3/projects/:project/users/:user/roles";
const CREDENTIALS = "/identity/v3/users/:user/application_credentials";
const FEDERATION = "/identity/v3/OS-FEDERATION/identity_providers/:idp/protocols/:protocol/auth";

export const PLAIN_ROUTES: Readonly<Record<string, PlainRoute>> = {
  "GET /": { who: "anyone" },
  "GET /docs": { who: "anyone" },
  "GET /compute": { who: "anyone" },
  "GET /compute/openapi.json": { who: "anyone" },
  "GET /compute/v2": { who: "anyone" },
  "GET /compute/v2.1": { who: "anyone" },
  "GET /identity": { who: "anyone" },
  "GET /identity/v3": { who: "anyone" },
  "POST /identity/v3/auth/tokens": {
    who: "anyone",
    body: {
      auth: { identity: { methods: ["password"], password }, scope: { project: { name: "x", domain: reference } } },
    },
  },
  "GET /identity/v3/auth/tokens": { who: "user" },
  "DELETE /identity/v3/auth/tokens": { who: "user" },
  "GET /identity/v3/auth/projects": { who: "user" },
  "GET /identity/v3/auth/catalog": { who: "user" },
  ...entities(["users", "user", { enabled: true, email: "x", password: "x" }]),
  ...entities(["projects", "project", { enabled: true }]),
  ...entities(["roles", "role", {}]),
  "GET /identity/v3/users/:id/projects": { who: "admin" },
  "POST /identity/v3/users/:id/password": {
    who: "anyone",
    body: { user: { original_password: "x", password: "x" } },
  },
  [`GET ${ROLES}`]: { who: "admin" },
  [`GET ${ROLES}/:role`]: { who: "admin" },
  [`PUT ${ROLES}/:role`]: { who: "admin" },
  [`DELETE ${ROLES}/:role`]: { who: "admin" },
  "GET /identity/v3/role_assignments": { who: "admin" },
  "GET /identity/v3/domains": { who: "admin" },
  "GET /identity/v3/domains/:id": { who: "user" },
  [`GET ${CREDENTIALS}`]: { who: "admin" },
  [`POST ${CREDENTIALS}`]: { who: "user", body: { application_credential: applicationCredential } },
  [`GET ${CREDENTIALS}/:id`]: { who: "admin" },
  [`DELETE ${CREDENTIALS}/:id`]: { who: "admin" },
  [`GET ${FEDERATION}`]: { who: "anyone" },
  [`POST ${FEDERATION}`]: { who: "anyone" },
  "GET /image": { who: "anyone" },
  "GET /image/v2/images": { who: "user" },
  "POST /image/v2/images": {
    who: "user",
    body: { name: "x", visibility: "private", disk_format: "raw", min_ram: 0, protected: false, tags: ["x"], k: "v" },
  },
  "GET /image/v2/images/:id": { who: "user" },
  "PATCH /image/v2/images/:id": {
    who: "user",
    body: [{ op: "add", path: "/name", value: "x" }],
    type: "application/openstack-images-v2.1-json-patch",
  },
  "DELETE /image/v2/images/:id": { who: "user" },
  "GET /image/v2/images/:id/file": { who: "user" },
  "PUT /image/v2/images/:id/file": { who: "user" },
  "POST /image/v2/images/:id/actions/deactivate": { who: "user" },
  "POST /image/v2/images/:id/actions/reactivate": { who: "user" },
  "PUT /image/v2/images/:id/tags/:tag": { who: "user" },
  "DELETE /image/v2/images/:id/tags/:tag": { who: "user" },
  "GET /image/v2/schemas/image": { who: "user" },
  "GET /image/v2/schemas/images": { who: "user" },
  "POST /agent/v1/join-tokens": { who: "admin", body: { host: "x", ttl: 60 } },
  "POST /agent/v1/enroll": {
    who: "anyone",
    body: { join_token: "x", host: "x", public_key: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } },
  },
  "POST /console/v1/sessions": { who: "anyone", body: { token: "x", pin: "x" } },
  "POST /console/v1/sessions/resume": { who: "anyone", body: { key: "x" } },
  "POST /console/v1/sessions/power": { who: "anyone", body: { key: "x", do: "start" } },
  "GET /agent/v1/whoami": { who: "agent" },
  "GET /agent/v1/link": { who: "agent" },
  "GET /agent/v1/console/:console": { who: "agent" },
  "GET /agent/v1/moves/:migration/:stream": { who: "agent" },
  "GET /agent/v1/images/:id": { who: "agent" },
  "GET /agent/v1/images/:id/file": { who: "agent" },
  "POST /agent/v1/images/:id/file": { who: "agent" },
  "PUT /agent/v1/images/:id/file/:part": { who: "agent" },
};
