/** The user to become, and the new root directory ("": no change). */
export interface Privileges extends Ids {
  readonly chroot: string;
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}
