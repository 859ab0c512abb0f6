/** A client broke the protocol, or asked for what this server has not; the message is for the log. */
export class RfbError extends Error {
  override name = "RfbError";
}
