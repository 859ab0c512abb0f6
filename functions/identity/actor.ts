/** Who asks, as a token told it. */
export type Actor = {
  user_id: string;
  project_id: string;
  is_admin: boolean;
  /** Has the member role, or one that implies it. */
  may_write: boolean;
};
