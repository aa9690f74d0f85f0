/** Fulfilled when all promises are, or after `limitMs` milliseconds. */
export async function inTime(
  promises: readonly Promise<unknown>[],
  limitMs: number,
): Promise<void> {
  let limit: ReturnType<typeof setTimeout>;
  const tooLong = new Promise<void>((resolve) => limit = setTimeout(resolve, limitMs));
  await Promise.race([Promise.all(promises), tooLong]);
  clearTimeout(limit!);
}
