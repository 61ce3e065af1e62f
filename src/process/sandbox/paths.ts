/** Whether `path` is `folder` or lies below it. Both absolute, and without `.` or `..`. */
export const isWithin = (folder: string, path: string): boolean =>
  folder === path || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);

/** Whether `path` lies below `folder`. */
export const isBelow = (folder: string, path: string): boolean => folder !== path && isWithin(folder, path);
