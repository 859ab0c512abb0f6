/** Who asks, as a token told it. */
export type Actor = {
  /** `req-<uuid>`: what this request's action is recorded under. */
  request_id: string;
  user_id: string;
  user_name: string;
  project_id: string;
  /** The application credential that the token was got with; null: another way. */
  app_credential: string | null;
  is_admin: boolean;
  /** Has the manager role: the operator's deputy in one project. */
  is_manager: boolean;
  /** Has the service role: another service of the cloud, which tells of what it did. */
  is_service: boolean;
  /** Has the member role, or one that implies it: a token names implied roles too. */
  may_write: boolean;
  /** Has the reader role; a role of the operator's own making alone gives nothing here. */
  may_read: boolean;
};
