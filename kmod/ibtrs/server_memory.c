// SPDX-License-Identifier: GPL-2.0
/* The memory of a path: chunks, and the regions as which its client sees them. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "server.h"

/* What fails here fails for one client: no other process is killed for it. */
#define GFP_CHUNK (GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static u32 pages_per_chunk(void)
{
	return DIV_ROUND_UP(ibtrs_server_params->chunk_size, PAGE_SIZE);
}

/* How many chunks the device can give one key. */
static u32 most_per_region(const struct server_path *path)
{
	u32 pages = path->dev->attrs.max_fast_reg_page_list_len;

	if (ibtrs_server_params->key_refresh)
		return pages >= pages_per_chunk() ? 1 : 0;
	/* The length of a region has 32 bits on the wire. */
	return min(pages / pages_per_chunk(), (u32)(U32_MAX / ibtrs_server_params->chunk_size));
}

/*
 * How many chunks a region of the path has: as many as fit, but so that the number of regions
 * divides that of the chunks (Clause IBTRS-INFO-005).
 */
u32 server_chunks_per_region(const struct server_path *path)
{
	u32 depth = ibtrs_server_params->queue_depth;
	u32 n = min(most_per_region(path), depth);

	while (n > 1 && depth % n)
		n--;
	return n;
}

static struct page *page_of(void *addr)
{
	return is_vmalloc_addr(addr) ? vmalloc_to_page(addr) : virt_to_page(addr);
}

static int alloc_chunks(struct server_path *path)
{
	u32 k;

	path->chunks =
		kvcalloc(ibtrs_server_params->queue_depth, sizeof(*path->chunks), GFP_KERNEL);
	if (!path->chunks)
		return -ENOMEM;
	for (k = 0; k < ibtrs_server_params->queue_depth; k++) {
		path->chunks[k] = kvzalloc(ibtrs_server_params->chunk_size, GFP_CHUNK);
		if (!path->chunks[k])
			return -ENOMEM;
	}
	return 0;
}

/* Entries of the table for a chunk: one if its pages lie side by side, else one for each. */
static u32 pieces(void *chunk)
{
	return is_vmalloc_addr(chunk) ? pages_per_chunk() : 1;
}

static int fill_table(struct server_path *path, struct region *region, u32 first, u32 count)
{
	u32 k, i, length, nents = 0;
	struct scatterlist *sg;
	int err;

	for (k = first; k < first + count; k++)
		nents += pieces(path->chunks[k]);
	err = sg_alloc_table(&region->table, nents, GFP_KERNEL);
	if (err)
		return err;
	sg = region->table.sgl;
	for (k = first; k < first + count; k++) {
		struct server_request *request = &path->requests[k];

		request->sg = sg;
		request->nents = pieces(path->chunks[k]);
		length = ibtrs_server_params->chunk_size / request->nents;
		for (i = 0; i < request->nents; i++) {
			sg_set_page(sg, page_of(path->chunks[k] + i * length), length, 0);
			sg = sg_next(sg);
		}
	}
	return 0;
}

/*
 * Where the device finds chunks that are one piece: what it sends from there needs no key of
 * theirs. If an IOMMU has merged entries, there is no saying.
 */
static void locate_chunks(struct server_path *path, struct region *region, u32 first, u32 count)
{
	u32 k;

	if (region->mapped != region->table.nents)
		return;
	for (k = first; k < first + count; k++)
		if (path->requests[k].nents == 1)
			path->requests[k].dma = sg_dma_address(path->requests[k].sg);
}

static int create_region(struct server_path *path, struct region *region, u32 first, u32 count)
{
	u32 pages = count * pages_per_chunk();
	struct ib_mr *mr;
	int err = fill_table(path, region, first, count);

	if (err)
		return err;
	region->mapped = ib_dma_map_sg(path->dev, region->table.sgl, region->table.nents,
				       DMA_BIDIRECTIONAL);
	if (!region->mapped)
		return -ENOMEM;
	mr = ib_alloc_mr(path->pd, IB_MR_TYPE_MEM_REG, pages);
	if (IS_ERR(mr))
		return PTR_ERR(mr);
	region->mr = mr;
	if (ib_map_mr_sg(mr, region->table.sgl, region->mapped, NULL, PAGE_SIZE) !=
	    region->mapped)
		return -EINVAL;
	locate_chunks(path, region, first, count);
	ib_update_fast_reg_key(mr, ib_inc_rkey(mr->rkey));
	return 0;
}

static int create_regions(struct server_path *path)
{
	u32 count = server_chunks_per_region(path);
	u32 i;
	int err;

	if (!count) {
		pr_warn("ibtrs_server: device %s registers %u pages at most, a chunk has %u\n",
			path->dev->name, path->dev->attrs.max_fast_reg_page_list_len,
			pages_per_chunk());
		return -EINVAL;
	}
	path->nr_regions = ibtrs_server_params->queue_depth / count;
	path->regions = kvcalloc(path->nr_regions, sizeof(*path->regions), GFP_KERNEL);
	if (!path->regions)
		return -ENOMEM;
	for (i = 0; i < path->nr_regions; i++) {
		err = create_region(path, &path->regions[i], i * count, count);
		if (err)
			return err;
	}
	return 0;
}

static int create_requests(struct server_path *path)
{
	size_t scratch = path->srv->ops->scratch_size;
	u32 k;

	path->requests =
		kvcalloc(ibtrs_server_params->queue_depth, sizeof(*path->requests), GFP_KERNEL);
	path->scratch = kvcalloc(ibtrs_server_params->queue_depth, scratch, GFP_KERNEL);
	if (!path->requests || !path->scratch)
		return -ENOMEM;
	for (k = 0; k < ibtrs_server_params->queue_depth; k++) {
		struct server_request *request = &path->requests[k];

		request->path = path;
		request->key.done = server_key_done;
		request->rq.header = request->header;
		request->rq.scratch = path->scratch + k * scratch;
	}
	return 0;
}

static size_t keys_size(void)
{
	return ibtrs_server_params->queue_depth * sizeof(struct ibtrs_key_response);
}

/* The messages that bring new keys. Only the key of each changes. */
static int create_keys(struct server_path *path)
{
	u32 k;

	if (!ibtrs_server_params->key_refresh)
		return 0;
	path->keys = kzalloc(keys_size(), GFP_KERNEL);
	if (!path->keys)
		return -ENOMEM;
	for (k = 0; k < ibtrs_server_params->queue_depth; k++) {
		path->keys[k].type = cpu_to_le16(IBTRS_MSG_KEY_RESPONSE);
		path->keys[k].chunk = cpu_to_le16(k);
	}
	path->keys_dma = ib_dma_map_single(path->dev, path->keys, keys_size(), DMA_TO_DEVICE);
	if (ib_dma_mapping_error(path->dev, path->keys_dma)) {
		path->keys_dma = 0;
		return -ENOMEM;
	}
	return 0;
}

/* Makes all that a path has for requests. server_memory_destroy() takes back what there is. */
int server_memory_create(struct server_path *path)
{
	return alloc_chunks(path) ?: create_requests(path) ?: create_regions(path) ?:
	       create_keys(path);
}

void server_memory_destroy(struct server_path *path)
{
	u32 i;

	for (i = 0; path->regions && i < path->nr_regions; i++) {
		struct region *region = &path->regions[i];

		if (region->mr)
			ib_dereg_mr(region->mr);
		if (region->mapped)
			ib_dma_unmap_sg(path->dev, region->table.sgl, region->table.nents,
					DMA_BIDIRECTIONAL);
		sg_free_table(&region->table);
	}
	kvfree(path->regions);
	if (path->keys_dma)
		ib_dma_unmap_single(path->dev, path->keys_dma, keys_size(), DMA_TO_DEVICE);
	kfree(path->keys);
	for (i = 0; path->chunks && i < ibtrs_server_params->queue_depth; i++)
		kvfree(path->chunks[i]);
	kvfree(path->chunks);
	kvfree(path->requests);
	kvfree(path->scratch);
}
