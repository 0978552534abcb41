/** The benches' payload types. */
export const TASK = 1;
export const ROUND_TRIP = 2;
export const BATCH = 3;
export const WEIGHED = 4;

/** The field in which a weighed payload says that the heap is to be looked at. */
export const LOOK = 0;
