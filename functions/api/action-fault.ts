/** An action that was not begun, or failed while it was waited for, in Nova's words (nova/api/openstack/common.py). */
import type { ActionError } from "../conductor/order.ts";
import { quotaMessage } from "../project/quota.ts";
import type { CallError } from "../protocol/frames.ts";
import { conflict, Fault, forbidden, instanceNotFound } from "./fault.ts";

export function actionFault(id: string, error: ActionError): Fault {
  switch (error.kind) {
    case "not_found":
      return instanceNotFound(id);
    case "locked":
      return conflict(`Instance ${id} is locked`);
    case "not_ready":
      return conflict(error.message);
    case "over_quota":
      return forbidden(quotaMessage(error));
    case "never_launched":
      return conflict(`Cannot '${error.verb}' instance ${id} while it has never been active`);
    case "invalid_state":
      return conflict(`Cannot '${error.verb}' instance ${id} while it is in ${error.attr} ${error.state}`);
    case "failed":
      return new Fault(error.code === 501 ? 501 : 409, error.message);
    default:
      throw error satisfies never;
  }
}

/** What a host answered that it could not do. */
export function callFault(error: CallError): Fault {
  switch (error.code) {
    case "NotSupported":
    case "SetAdminPasswdNotSupported":
      return new Fault(501, error.message);
    case "ConsoleNotAvailable":
      return new Fault(404, error.message);
    default:
      return conflict(error.message);
  }
}
