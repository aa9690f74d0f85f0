/** Values at dotted keys: `log.level` is the member `level` of the member `log`. */

/** Returns the value at a key, or undefined. */
export function valueAt(object: object, key: string): unknown {
  return key.split(".").reduce(
    (found: unknown, name) => (found as Values | undefined)?.[name],
    object,
  );
}

/** Returns an object with these values at their keys of one dot at most, without undefined ones. */
export function nested(values: Iterable<readonly [key: string, value: unknown]>): Values {
  const all: Values = {};
  for (const [key, value] of values) {
    const [name, member] = key.split(".") as [string, string?];
    if (value === undefined) continue;
    if (member === undefined) all[name] = value;
    else all[name] = { ...all[name] as object, [member]: value };
  }
  return all;
}

type Values = Record<string, unknown>;
