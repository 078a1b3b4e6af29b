package multiserver

// Version of the library and of both programs.
const Version = "0.1.0"
