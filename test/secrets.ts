/** The secrets of every edge that a test starts. */
export const TEST_SECRETS = {
  ADMIN_PASSWORD: "a password for tests",
  TOKEN_KEY: Buffer.alloc(32, 7).toString("base64url"),
};
