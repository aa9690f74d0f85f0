/** A mistake in what the user asked for. `message` is one line: what, where, what to do about it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
