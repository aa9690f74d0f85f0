/** The part of `@std/cli` that is used; its npm build ships no types. */
declare module "@std/cli/cli/parse_args.js" {
  export interface ParseOptions {
    /** Options whose values stay strings; `_` means the positionals. */
    readonly string?: readonly string[];
    /** Flags: false unless given. */
    readonly boolean?: readonly string[];
    /** Flags that also exist as `--no-NAME`. */
    readonly negatable?: readonly string[];
    /** Other names of options. */
    readonly alias?: Readonly<Record<string, string>>;
    /** Called for each other word, with a name if it is an option; false drops it. */
    readonly unknown?: (word: string, name?: string) => boolean;
  }

  export function parseArgs(
    args: readonly string[],
    options?: ParseOptions,
  ): { readonly _: readonly string[]; readonly [name: string]: unknown };
}
