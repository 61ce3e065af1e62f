/** Whether it is a name, and no path: letters, digits, `_` and `-`. */
export const isPlainName = (name: string): boolean => /^[A-Za-z0-9_-]+$/.test(name);
