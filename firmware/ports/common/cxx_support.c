/* What C++ code expects of a start file, on boards, which have none. Only images with C++ in them carry this. */
extern void *__dso_handle;

/* Tells the destructors of one shared object from those of another; there is one object, and it never ends. */
void *__dso_handle = 0;
