/* What xenpod needs of Xen's C libraries beside libxenctrl. */
#include <stdlib.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xenforeignmemory.h>
#include <xen/hvm/params.h>
#include <xen/hvm/e820.h>
#include <xen/hvm/save.h>
#include <libxl.h>
