// The public face of the library: everything a program uses is exported here, nothing else is.
export const version = '0.1.0';
