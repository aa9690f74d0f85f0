/** Describes how a process exited: `signal SIGKILL` or `status 1`. */
export function exitText(
  { code, signal }: { readonly code: number | null; readonly signal: string | null },
): string {
  return signal ? `signal ${signal}` : `status ${code}`;
}
