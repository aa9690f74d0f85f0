/**
 * Which certificate serves a name: exact, without regard to case, the first listed that has it;
 * otherwise, and for a client that names none, the last listed.
 */
export function certificateSelector(
  certificates: readonly { readonly names: readonly string[] }[],
): (serverName: string) => number {
  const byName = new Map<string, number>();
  for (const [index, { names }] of certificates.entries()) {
    for (const name of names) if (!byName.has(name)) byName.set(name, index);
  }
  const fallback = certificates.length - 1;
  return (serverName) => byName.get(serverName.toLowerCase()) ?? fallback;
}
